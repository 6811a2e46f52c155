"""Objects in a local folder."""

from __future__ import annotations

import fcntl
import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

from hearth.aws.http1 import Body
from hearth.errors import NotFound, StoreError
from hearth.storage.base import Conflict, Readable, Store, check_size, too_long_message


class FileStore(Store):
    def __init__(self, uri: str) -> None:
        self.uri = uri.rstrip("/")
        self.root = Path(unquote(uri.removeprefix("file://")))  # a path may have `#` and `?`

    def _file(self, path: str) -> Path:
        file = self.root / path
        if ".." in file.parts:
            raise NotFound(f"{path} is not below the store's root")
        return file

    def check(self) -> None:
        if not self.root.is_dir():
            raise StoreError(f"There is no store at {self.uri}: the folder {self.root} does not exist")

    def get_with_etag(
        self, path: str, *, deadline: float | None = None, limit: int | None = None, version: str = ""
    ) -> tuple[bytes, str]:
        try:
            with self._file(path).open("rb") as file:
                if limit is not None and os.fstat(file.fileno()).st_size > limit:
                    raise StoreError(too_long_message(path, limit))
                data = file.read()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise NotFound(f"{path} is not in the store") from None
        except OSError as error:
            raise StoreError(f"{path} could not be read: {error.strerror}") from error
        return data, hashlib.sha256(data).hexdigest()

    @contextmanager
    def open(self, path: str, start: int, length: int, size: int) -> Iterator[Readable]:
        try:
            with self._file(path).open("rb", buffering=0) as file:
                check_size(path, os.fstat(file.fileno()).st_size, size)
                file.seek(start)
                yield file
        except FileNotFoundError:
            raise NotFound(f"{path} is not in the store") from None

    def put(self, path: str, data: Body, *, if_absent: bool = False, if_match: str | None = None) -> str:
        file = self._file(path)
        partial = file.with_name(f".{file.name}.{os.getpid()}.{threading.get_ident()}")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            partial.write_bytes(data)
            with _lock(file.parent):
                if if_absent and file.exists():
                    raise Conflict(f"{path} is in the store already")
                if if_match is not None and (not file.exists() or self.get_with_etag(path)[1] != if_match):
                    raise Conflict(f"{path} was changed by someone else")
                partial.replace(file)
        except OSError as error:  # a full disk, for example
            raise StoreError(f"{path} could not be written: {error.strerror}") from error
        finally:
            partial.unlink(missing_ok=True)
        return hashlib.sha256(data).hexdigest()

    def iter_paths(self, prefix: str = "") -> Iterator[str]:
        folders = [self._file(prefix.rpartition("/")[0])]
        while folders:
            try:
                entries = os.scandir(folders.pop())
            except (FileNotFoundError, NotADirectoryError):
                continue
            with entries:
                for entry in entries:
                    path = Path(entry.path).relative_to(self.root).as_posix()
                    if entry.name.startswith(".") or not (path.startswith(prefix) or prefix.startswith(f"{path}/")):
                        continue  # names of partial files begin with a dot
                    if entry.is_dir():
                        if not (entry.is_symlink() and self._is_loop(Path(entry.path))):
                            folders.append(Path(entry.path))
                    else:
                        yield path

    def _is_loop(self, link: Path) -> bool:
        """Whether a link leads to one of the folders that it is in, so that a listing would not end."""
        target = link.resolve()
        return any(folder.resolve() == target for folder in link.parents if folder.is_relative_to(self.root))

    def delete(self, path: str) -> None:
        try:
            self._file(path).unlink(missing_ok=True)
        except NotADirectoryError:
            return
        except OSError as error:
            raise StoreError(f"{path} could not be removed: {error.strerror}") from error


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
