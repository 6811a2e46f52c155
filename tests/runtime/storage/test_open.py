"""Which store a URI opens."""

from __future__ import annotations

import pytest

from hearth.errors import SettingsError
from hearth.storage.file import FileStore
from hearth.storage.open import open_store
from hearth.storage.s3 import S3Store


def test_a_uri_opens_the_store_of_its_scheme() -> None:
    folder, bucket = open_store("file:///a/b"), open_store("s3://bucket/prefix/")
    assert isinstance(folder, FileStore)
    assert folder.uri == "file:///a/b"
    assert isinstance(bucket, S3Store)
    assert (bucket.uri, bucket.bucket.name, bucket.prefix) == ("s3://bucket/prefix", "bucket", "prefix")


@pytest.mark.parametrize("uri", ["", "s3://", "s3:///key", "http://x/y", "ftp://bucket", "file://relative", "/path"])
def test_a_malformed_uri_is_refused(uri: str) -> None:
    with pytest.raises(SettingsError, match=rf"s3://bucket/prefix or file:///path, not '{uri}'"):
        open_store(uri)
