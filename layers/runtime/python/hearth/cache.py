"""The warm cache: verified artifacts on local disk and loaded models in memory, both bounded by bytes."""

from __future__ import annotations

import errno
import fcntl
import functools
import hashlib
import os
import stat
import threading
import time
from collections import OrderedDict, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

import msgspec

from hearth import settings
from hearth.errors import HearthError, SettingsError, Unavailable
from hearth.manifest import Manifest
from hearth.model import Model
from hearth.registry import Ref, Registry
from hearth.store import Store, open_store
from hearth.trace import current, step
from hearth.transfer import fetch, verify


class DiskCache:
    """Artifacts as folders `<model>@<version>` in a folder that is its user's alone, shared by his processes.

    A folder is filled under a temporary name and renamed when it is whole. Whoever uses or fills one holds a lock
    on it, which dies with its process: what is not locked may be evicted, and a partial one is rubbish.
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


class _Slot(msgspec.Struct):
    """A model in memory, or on its way there."""

    lock: threading.Lock = msgspec.field(default_factory=threading.Lock)
    model: Model | None = None
    users: int = 0
    ahead: dict[str, float] = msgspec.field(default_factory=dict)
    """Milliseconds per step of a load that was done before any request came."""


class Counters(msgspec.Struct):
    hits: int = 0
    loads: int = 0
    load_failures: int = 0
    stale: int = 0
    """Requests answered by an alias's former version, because its new one could not be loaded."""
    evictions: int = 0


class Cache:
    """Loaded models by name. One load however many ask at once; one in use is never evicted."""

    def __init__(self, registry: Registry, disk: DiskCache, limit: int, threads: int, fetch_seconds: float) -> None:
        self.registry = registry
        self.disk = disk
        self.limit = limit
        self.counters = Counters()
        self._threads = threads
        self._fetch_seconds = fetch_seconds
        self._slots: OrderedDict[Ref, _Slot] = OrderedDict()  # least recently used first
        self._over = False  # what is in use was too much to be brought below the limit
        self._served: dict[str, Ref] = {}  # what each name last meant, while it could be loaded
        self._lock = threading.Lock()

    def get(self, name: str) -> _Use:
        """The model that `name` means now, for the length of the block.

        Where a new version cannot be loaded, the one that this name meant before goes on serving.
        The block raises what `Registry.resolve` does, IntegrityError, StoreError, Unavailable.
        """
        return _Use(self, name)

    def _take(self, name: str) -> _Slot:
        with step("resolve"):
            ref = self.registry.resolve(name)
        former = self._served.get(name)
        try:
            slot = self._acquire(ref)
        except HearthError:
            self.counters.load_failures += 1
            if former is None or former == ref:
                raise
            ref, slot = former, self._acquire(former)
            self.counters.stale += 1
        self._served[name] = ref
        facts = current().facts
        facts["model"], facts["version"] = ref.model, ref.version
        return slot

    def _leave(self, slot: _Slot) -> None:
        with self._lock:
            slot.users -= 1

    def prefetch(self, name: str) -> None:
        """Bring the artifact of `name` to the disk and load nothing. Raises what `get` does."""
        ref = self.registry.resolve(name)
        deadline = time.monotonic() + self._fetch_seconds
        with self.disk.artifact(self.registry.store, ref, self.registry.manifest(ref), deadline):
            pass

    def preload(self, name: str) -> None:
        """Load what `name` means before it is asked; the first request then still counts as cold, and tells its steps.

        Raises what `get` does.
        """
        self._leave(self._acquire(self.registry.resolve(name), ahead=True))

    def forget_checks(self) -> None:
        """Trust no file that was verified before, and no alias that was read."""
        self.disk.forget_checks()
        self.registry.forget_aliases()

    def loaded(self) -> set[Ref]:
        """What is in memory."""
        with self._lock:
            return {ref for ref, slot in self._slots.items() if slot.model}

    def drop(self, ref: Ref) -> None:
        """Forget a model, if it is in memory; its memory is free when nobody uses it any more."""
        with self._lock:
            if (slot := self._slots.get(ref)) and slot.model:
                del self._slots[ref]

    def _acquire(self, ref: Ref, *, ahead: bool = False) -> _Slot:
        with self._lock:
            slot = self._slots.get(ref)
            if slot is not None and slot.model is not None and not slot.ahead:
                slot.users += 1
                self.counters.hits += 1
                self._slots.move_to_end(ref)  # now the most recently used
                if self._over:
                    self._evict()
                current().facts.setdefault("cold", False)
                return slot
            slot = self._slots.setdefault(ref, _Slot())
            slot.users += 1
        try:
            waiting = time.perf_counter()
            with slot.lock:
                loaded = slot.model is None
                if slot.model is None:
                    model = self._load(ref)
                    slot.ahead = dict(current().steps) if ahead else {}
                    slot.model = model
                elif slot.ahead and not ahead:
                    current().steps.update(slot.ahead, wait=(time.perf_counter() - waiting) * 1000)
                    current().facts["cold"] = True
                    slot.ahead = {}
        except BaseException:
            with self._lock:
                slot.users -= 1
                if slot.users == 0 and slot.model is None:  # names that lead nowhere must not pile up
                    self._slots.pop(ref, None)
            raise
        with self._lock:
            self.counters.loads += loaded
            self.counters.hits += not loaded
            self._slots[ref] = self._slots.pop(ref, slot)  # now the most recently used
            self._evict()
        current().facts.setdefault("cold", loaded)
        return slot

    def _load(self, ref: Ref) -> Model:
        deadline = time.monotonic() + self._fetch_seconds
        with step("manifest"):
            manifest = self.registry.manifest(ref)
        fetching = time.perf_counter()
        with self.disk.artifact(self.registry.store, ref, manifest, deadline) as folder:
            current().steps["fetch"] = (time.perf_counter() - fetching) * 1000
            with step("load"):
                return Model(manifest, folder, self._threads)

    def _evict(self) -> None:
        size = sum(slot.model.manifest.size for slot in self._slots.values() if slot.model)
        for ref, slot in list(self._slots.items()):
            if size <= self.limit:
                break
            if slot.users == 0 and slot.model:
                del self._slots[ref]
                size -= slot.model.manifest.size
                self.counters.evictions += 1
        self._over = size > self.limit


class _Use:
    """A model's name while it is used; every request has one, and a generator would take longer."""

    __slots__ = ("_cache", "_name", "_slot")

    def __init__(self, cache: Cache, name: str) -> None:
        self._cache, self._name = cache, name

    def __enter__(self) -> Model:
        self._slot = self._cache._take(self._name)
        assert self._slot.model is not None  # noqa: S101 -- what _acquire promises
        return self._slot.model

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._cache._leave(self._slot)


@functools.cache
def warm() -> Cache:
    """The cache of this process, made from its settings."""
    chosen = settings.get()
    if not chosen.store:
        raise SettingsError("HEARTH_STORE is not set: it says where artifacts lie, s3://bucket/prefix or file:///path")
    trust = None
    if chosen.verify_keys:
        from hearth import signature

        trust = signature.read(chosen.verify_keys)
    registry = Registry(open_store(chosen.store), chosen.models, chosen.alias_seconds, trust)
    disk = DiskCache(chosen.cache_dir, chosen.cache_disk)
    return Cache(registry, disk, chosen.cache_memory, chosen.threads, chosen.fetch_seconds)
