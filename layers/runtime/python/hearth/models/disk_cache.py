"""Verified artifacts on local disk, bounded by bytes."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import stat
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hearth.errors import Unavailable
from hearth.models.download import fetch, verify
from hearth.models.manifest import Manifest
from hearth.models.registry import Ref
from hearth.storage.base import Store


class DiskCache:
    """Artifacts as folders `<model>@<version>` in a folder that is private to its user and shared by their processes.

    A folder is filled under a temporary name and renamed when it is whole. Whoever uses or fills one holds a lock
    on it, which dies with its process: what is not locked may be evicted, and a partial folder without a lock is
    left-over.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder = folder
        self.limit = limit
        self.evictions = 0
        self.bytes_fetched = 0
        self._verified: set[str] = set()
        self._filling: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    @contextmanager
    def artifact(self, store: Store, ref: Ref, manifest: Manifest, deadline: float) -> Iterator[Path]:
        """The artifact's folder, verified by this process, and safe from eviction until the block ends."""
        content = hashlib.sha256("".join(file.sha256 for file in manifest.files).encode()).hexdigest()
        folder = self.folder / f"{ref}-{content[:16]}"
        _make_private(self.folder)
        while True:
            with _lock(folder, fcntl.LOCK_SH) as held:
                if held and self._whole(folder, manifest):
                    os.utime(folder)
                    yield folder
                    return
            with self._filling[folder.name]:  # one thread fetches, the others wait for its bytes
                if not _is_folder(folder):
                    self._fill(store, ref, manifest, folder, deadline)

    def forget_checks(self) -> None:
        """Hash every file again before it is used the next time."""
        self._verified.clear()

    def _whole(self, folder: Path, manifest: Manifest) -> bool:
        # Files that another process left are not trusted: each process hashes them once.
        if folder.name not in self._verified:
            complete = set(os.listdir(folder)) == {file.path for file in manifest.files}
            if not complete or not all(verify(file, folder / file.path) for file in manifest.files):
                aside = _new_partial(self.folder)
                with suppress(FileNotFoundError):  # another process does the same
                    folder.rename(aside)  # out of the way even where something in it cannot be removed
                _remove(aside)
                return False
            self._verified.add(folder.name)
        return True

    def _fill(self, store: Store, ref: Ref, manifest: Manifest, folder: Path, deadline: float) -> None:
        partial = _new_partial(self.folder)
        try:
            with _lock(partial, fcntl.LOCK_EX) as held:
                if not held:
                    return  # another process swept it before it was locked; the caller tries again
                self._evict(manifest.size)
                try:
                    fetch(store, f"{ref.model}/{ref.version}", manifest.files, partial, deadline)
                except OSError as error:
                    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                        raise
                    self._evict(self.limit)  # all that is not in use
                    _empty(partial)
                    fetch(store, f"{ref.model}/{ref.version}", manifest.files, partial, deadline)
                self.bytes_fetched += manifest.size
                with suppress(FileNotFoundError, IsADirectoryError):
                    folder.unlink()  # what is no folder is none of ours
                try:
                    partial.rename(folder)
                except OSError as error:
                    if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                        raise  # else another process was first, with the same bytes
                else:
                    self._verified.add(folder.name)
        except OSError as error:
            raise Unavailable(f"The disk cache cannot take {ref} ({error.strerror}); give it more room") from error
        finally:
            _remove(partial)

    def _evict(self, wanted: int) -> None:
        """Make room for `wanted` bytes: partial folders first, then the least recently used."""
        found = []
        for path in self.folder.iterdir():
            with suppress(FileNotFoundError):  # other processes evict too
                if not _is_folder(path):
                    path.unlink()
                    continue
                size = sum(file.lstat().st_size for file in path.iterdir())
                found.append((not path.name.startswith(".partial-"), path.stat().st_mtime, path, size))
        used = sum(size for *_, size in found)
        for whole, _, path, size in sorted(found):
            if whole and used + wanted <= self.limit:
                return
            with _lock(path, fcntl.LOCK_EX | fcntl.LOCK_NB) as held:
                if held:
                    _remove(path)
                    self._verified.discard(path.name)
                    used -= size
                    self.evictions += whole


def _make_private(folder: Path) -> None:
    """Make the cache's folder, or see to it that nobody else can put anything into it. Raises Unavailable."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        # A link to a folder is as good as the folder, if it is ours: others can make theirs in /tmp before us.
        link, target = folder.lstat(), folder.stat()
        if not stat.S_ISDIR(target.st_mode) or {link.st_uid, target.st_uid} != {os.geteuid()}:
            raise Unavailable(f"{folder} is no folder of this user. HEARTH_CACHE_DIR must name one that is")
        if target.st_mode & 0o077:
            folder.chmod(0o700)
    except OSError as error:
        raise Unavailable(f"The disk cache {folder} cannot be used ({error.strerror}); set HEARTH_CACHE_DIR") from error


def _new_partial(folder: Path) -> Path:
    path = folder / f".partial-{os.urandom(8).hex()}"
    path.mkdir(mode=0o700)
    return path


def _remove(folder: Path) -> None:
    """As far as that is possible, whatever may lie in it."""
    if _is_folder(folder):
        import shutil  # with all of its compressions: not for a cold start, where there is nothing to remove

        shutil.rmtree(folder, ignore_errors=True)


def _is_folder(path: Path) -> bool:
    """Not a link to one."""
    with suppress(FileNotFoundError):
        return stat.S_ISDIR(path.lstat().st_mode)
    return False


@contextmanager
def _lock(folder: Path, how: int) -> Iterator[bool]:
    """Whether the folder exists, itself and not as a link, and its lock was got."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except (FileNotFoundError, NotADirectoryError):
        yield False
        return
    try:
        try:
            fcntl.flock(descriptor, how)
        except BlockingIOError:
            yield False
        else:
            yield _is_still(folder, descriptor)
    finally:
        os.close(descriptor)


def _is_still(folder: Path, descriptor: int) -> bool:
    """Whether the folder is the one that was opened: who had the lock before may have removed or replaced it."""
    with suppress(FileNotFoundError):
        return os.path.samestat(folder.stat(), os.fstat(descriptor))
    return False


def _empty(folder: Path) -> None:
    for file in folder.iterdir():
        file.unlink()
