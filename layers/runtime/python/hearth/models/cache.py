"""The warm cache: verified artifacts on local disk and loaded models in memory, both bounded by bytes."""

from __future__ import annotations

import functools
import threading
import time
from collections import OrderedDict
from types import TracebackType

import msgspec

from hearth import settings
from hearth.errors import HearthError, SettingsError
from hearth.models.disk_cache import DiskCache
from hearth.models.manifest import Manifest
from hearth.models.model import Model
from hearth.models.registry import Ref, Registry
from hearth.storage.open import open_store
from hearth.telemetry.timing import current, step


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
        from hearth.models import signature

        trust = signature.read(chosen.verify_keys)
    registry = Registry(open_store(chosen.store), chosen.models, chosen.alias_seconds, trust)
    disk = DiskCache(chosen.cache_dir, chosen.cache_disk)
    return Cache(registry, disk, chosen.cache_memory, chosen.threads, chosen.fetch_seconds)


def manifest_of(name: str) -> Manifest:
    """Of the version that `name` means now. Raises as Registry.resolve and Registry.manifest."""
    registry = warm().registry
    return registry.manifest(registry.resolve(name))
