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

from hearth.errors import Loading, Unavailable
from hearth.models.download import fetch, verify
from hearth.models.manifest import Manifest
from hearth.models.registry import Ref
from hearth.storage.base import Store


class DiskCache:
    """Artifacts as folders `<model>@<version>` in a folder that is private to one user and shared by their processes.

    A folder is filled under a temporary name and renamed when it is complete. A process that uses or fills a folder
    holds a lock on it, which ends with the process. Folders without a lock may be evicted. A folder whose download
    took too long stays, and the next attempt of any process completes it.
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
        """The artifact's folder, verified by this process and protected from eviction until the block ends."""
        content = hashlib.sha256("".join(file.sha256 for file in manifest.files).encode()).hexdigest()
        folder = self.folder / f"{ref}-{content[:16]}"
        _make_private(self.folder)
        while True:
            with _lock(folder, fcntl.LOCK_SH) as locked:
                if locked and self._is_complete(folder, manifest):
                    os.utime(folder)
                    yield folder
                    return
            with self._filling[folder.name]:  # one thread downloads, the others wait
                if not _is_folder(folder):
                    self._fill(store, ref, manifest, folder, deadline)

    def forget_checks(self) -> None:
        """Hash every file again before its next use."""
        self._verified.clear()

    def _is_complete(self, folder: Path, manifest: Manifest) -> bool:
        # Files written by another process are not trusted: each process hashes them once.
        if folder.name not in self._verified:
            complete = set(os.listdir(folder)) == {file.path for file in manifest.files}
            if not complete or not all(verify(file, folder / file.path) for file in manifest.files):
                discarded = _new_partial(self.folder)
                with suppress(FileNotFoundError):  # another process did the same
                    folder.rename(discarded)  # works even if a file in it cannot be removed
                _remove(discarded)
                return False
            self._verified.add(folder.name)
        return True

    def _fill(self, store: Store, ref: Ref, manifest: Manifest, folder: Path, deadline: float) -> None:
        partial = self.folder / f".loading-{folder.name}"
        self._check_size(ref, manifest)
        try:
            _make_folder(partial)
            with _lock(partial, fcntl.LOCK_EX) as locked:
                if not locked:
                    return  # another process completed or evicted it; the caller tries again
                self._evict(manifest.size, partial)
                try:
                    fetch(store, f"{ref.model}/{ref.version}", manifest.files, partial, deadline)
                except OSError as error:
                    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                        raise
                    self._evict(self.limit, partial)  # everything not in use
                    _empty(partial)
                    fetch(store, f"{ref.model}/{ref.version}", manifest.files, partial, deadline)
                self.bytes_fetched += manifest.size
                with suppress(FileNotFoundError, IsADirectoryError):
                    folder.unlink()  # a file here was not written by this cache
                try:
                    partial.rename(folder)
                except OSError as error:
                    if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                        raise  # otherwise another process was first, with the same content
                    _remove(partial)
                else:
                    self._verified.add(folder.name)
        except Loading:
            raise
        except OSError as error:
            _remove(partial)
            raise Unavailable(f"The disk cache cannot store {ref} ({error.strerror}); give it more space") from error
        except BaseException:
            _remove(partial)
            raise

    def _check_size(self, ref: Ref, manifest: Manifest) -> None:
        """Raise Unavailable for an artifact that is larger than the whole disk."""
        disk = os.statvfs(self.folder)
        size = disk.f_blocks * disk.f_frsize
        if manifest.size > size:
            raise Unavailable(
                f"{ref} needs {manifest.size / 1e6:.0f} MB of disk, and {self.folder} has {size / 1e6:.0f} MB in all; "
                "give the function more ephemeral storage",
                retry_after=None,
            )

    def _evict(self, needed: int, filling: Path) -> None:
        """Free space for the `needed` bytes of the folder `filling`: remove discarded folders first, then incomplete
        ones, then the least recently used."""
        folders = []
        for path in self.folder.iterdir():
            with suppress(FileNotFoundError):  # other processes evict too
                if not _is_folder(path):
                    path.unlink()
                    continue
                size = sum(file.lstat().st_size for file in path.iterdir())
                if path != filling:
                    folders.append((_rank(path), path.stat().st_mtime, path, size))
        used = sum(size for *_, size in folders)
        for rank, _, path, size in sorted(folders):
            if rank and used + needed <= self.limit:
                return
            with _lock(path, fcntl.LOCK_EX | fcntl.LOCK_NB) as locked:
                if locked:
                    _remove(path)
                    self._verified.discard(path.name)
                    used -= size
                    self.evictions += rank == COMPLETE


DISCARDED, INCOMPLETE, COMPLETE = range(3)


def _rank(path: Path) -> int:
    """What a folder of the cache is; those with a lower rank are removed first."""
    if path.name.startswith(".partial-"):
        return DISCARDED
    return INCOMPLETE if path.name.startswith(".loading-") else COMPLETE


def _make_folder(path: Path) -> None:
    """Create a folder in place of anything else of its name."""
    if not _is_folder(path):
        path.unlink(missing_ok=True)
        with suppress(FileExistsError):  # another process did the same
            path.mkdir(mode=0o700)


def _make_private(folder: Path) -> None:
    """Create the cache's folder, or ensure that no other user can write to it. Raises Unavailable."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        # A link to a folder is accepted only if both belong to this user: others can create theirs in /tmp first.
        link, target = folder.lstat(), folder.stat()
        if not stat.S_ISDIR(target.st_mode) or {link.st_uid, target.st_uid} != {os.geteuid()}:
            raise Unavailable(f"{folder} is not a folder of this user; set HEARTH_CACHE_DIR to one that is")
        if target.st_mode & 0o077:
            folder.chmod(0o700)
    except OSError as error:
        raise Unavailable(f"The disk cache {folder} cannot be used ({error.strerror}); set HEARTH_CACHE_DIR") from error


def _new_partial(folder: Path) -> Path:
    path = folder / f".partial-{os.urandom(8).hex()}"
    path.mkdir(mode=0o700)
    return path


def _remove(folder: Path) -> None:
    """Remove the folder and its contents as far as possible."""
    if _is_folder(folder):
        import shutil  # imports all compression modules; a cold start has nothing to remove

        shutil.rmtree(folder, ignore_errors=True)


def _is_folder(path: Path) -> bool:
    """Whether the path is a folder, not a link to one."""
    with suppress(FileNotFoundError):
        return stat.S_ISDIR(path.lstat().st_mode)
    return False


@contextmanager
def _lock(folder: Path, operation: int) -> Iterator[bool]:
    """Lock a folder for the block; False if it does not exist, is a link, or is locked."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except (FileNotFoundError, NotADirectoryError):
        yield False
        return
    try:
        try:
            fcntl.flock(descriptor, operation)
        except BlockingIOError:
            yield False
        else:
            yield _is_still(folder, descriptor)
    finally:
        os.close(descriptor)


def _is_still(folder: Path, descriptor: int) -> bool:
    """Whether the folder is the one that was opened: the lock's previous holder may have removed or replaced it."""
    with suppress(FileNotFoundError):
        return os.path.samestat(folder.stat(), os.fstat(descriptor))
    return False


def _empty(folder: Path) -> None:
    for file in folder.iterdir():
        file.unlink()
