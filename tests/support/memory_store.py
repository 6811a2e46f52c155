"""A store in memory, for tests of what is written when."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from hearth.aws.http1 import Body
from hearth.errors import NotFound
from hearth.storage.base import Conflict, Store


class MemoryStore(Store):
    def __init__(self, uri: str = "s3://bucket/prefix", objects: dict[str, bytes] | None = None) -> None:
        self.uri = uri
        self.objects = dict(objects or {})
        self.written: list[str] = []
        """The path of each write, in order."""

    def get_with_etag(
        self, path: str, *, deadline: float | None = None, limit: int | None = None, version: str = ""
    ) -> tuple[bytes, str]:
        if path not in self.objects:
            raise NotFound(f"{path} is not in the store")
        return self.objects[path], self._tag(path)

    def put(self, path: str, data: Body, *, if_absent: bool = False, if_match: str | None = None) -> str:
        if if_absent and path in self.objects:
            raise Conflict(f"{path} is in the store already")
        if if_match is not None and (path not in self.objects or self._tag(path) != if_match):
            raise Conflict(f"{path} was changed by someone else")
        self.objects[path] = bytes(data)
        self.written.append(path)
        return self._tag(path)

    def _tag(self, path: str) -> str:
        return hashlib.md5(self.objects[path]).hexdigest()

    def iter_paths(self, prefix: str = "") -> Iterator[str]:
        yield from (path for path in list(self.objects) if path.startswith(prefix))

    def delete(self, path: str) -> None:
        self.objects.pop(path, None)
