"""Opens a store by its URI."""

from __future__ import annotations

import re

from hearth.errors import SettingsError
from hearth.storage.base import Store
from hearth.storage.file import FileStore
from hearth.storage.s3 import S3Store


def open_store(uri: str) -> Store:
    """The store at `uri`. Does not access the disk or the network."""
    if re.match("s3://[^/]", uri):
        return S3Store(uri)
    if uri.startswith("file:///"):
        return FileStore(uri)
    raise SettingsError(f"A store must be s3://bucket/prefix or file:///path, not {uri!r}")
