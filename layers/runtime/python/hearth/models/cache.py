"""The warm cache: loaded models in memory, made from verified artifacts on local disk, both bounded by bytes."""

from __future__ import annotations

import functools
import threading
import time
from collections import OrderedDict
from types import TracebackType
from typing import Any

import msgspec

from hearth import settings
from hearth.errors import HearthError, ManifestError, SettingsError, Unavailable
from hearth.models.disk_cache import DiskCache
from hearth.models.model import Model
from hearth.models.registry import Ref, Registry, Resolved
from hearth.storage.open import open_store
from hearth.telemetry.timing import current, step


class _Slot(msgspec.Struct):
    """One artifact in memory. Its states, and what leads from one to the next:

        (no slot) --open-----> loading -> loaded
        (no slot) --preload--> loading -> preloaded --open--> loaded
        loading --error--> (no slot);  loaded, preloaded --evict, drop--> (no slot)

    loading: `model` is None, and the thread that loads it holds `lock`; preloaded: `preload_steps` is set.
    """

    lock: threading.Lock = msgspec.field(default_factory=threading.Lock)
    model: Model[Any, Any] | None = None
    users: int = 0
    preload_steps: dict[str, float] | None = None
    """Milliseconds per step of a load that no request has made use of yet."""


class Counters(msgspec.Struct):
    hits: int = 0
    loads: int = 0
    load_failures: int = 0
    stale: int = 0
    """Requests answered by an alias's former version, because its new one could not be loaded."""
    evictions: int = 0


class Lease:
    """A loaded model while a request uses it; until `close` it stays in memory. A context manager for its model."""

    __slots__ = ("_cache", "_slot", "model")

    def __init__(self, cache: Cache, slot: _Slot, model: Model[Any, Any]) -> None:
        self._cache, self._slot, self.model = cache, slot, model

    def close(self) -> None:
        """Give the model back; once."""
        self._cache._release(self._slot)

    def __enter__(self) -> Model[Any, Any]:
        return self.model

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()


class Cache:
    """Loaded models. One load however many ask at once; a model in use is never evicted."""

    def __init__(self, registry: Registry, disk: DiskCache, limit: int, threads: int, fetch_seconds: float) -> None:
        self.registry = registry
        self.disk = disk
        self.limit = limit
        self.counters = Counters()
        self._threads = threads
        self._fetch_seconds = fetch_seconds
        self._slots: OrderedDict[Ref, _Slot] = OrderedDict()  # least recently used first
        self._over_limit = False  # what is in use is too much, so that eviction has to be tried again
        self._answered: dict[str, Resolved] = {}  # what answered last for each name
        self._lock = threading.Lock()

    def resolve(self, name: str) -> Resolved:
        """What `name` means now; what answered for it last, where the manifest of a new version is of no use.

        Raises what `Registry.resolve` raises.
        """
        with step("resolve"):
            try:
                return self.registry.resolve(name)
            except (Unavailable, ManifestError):
                former = self._answered.get(name)
                if former is None:
                    raise
                self.counters.stale += 1
                return former

    def open(self, resolved: Resolved) -> Lease:
        """The loaded model of `resolved`, or the version that answered for the name before, where this one cannot be
        loaded.

        `Lease.model.manifest` says which. Raises IntegrityError, StoreError, Unavailable.
        """
        try:
            slot, model = self._acquire(resolved.ref)
        except HearthError:
            self.counters.load_failures += 1
            former = self._answered.get(resolved.name)
            if former is None or former.ref == resolved.ref or former.manifest.task != resolved.manifest.task:
                raise
            resolved = former
            slot, model = self._acquire(former.ref)
            self.counters.stale += 1
        self._answered[resolved.name] = resolved
        timing = current()
        timing.fields["model"], timing.fields["version"] = resolved.ref.model, resolved.ref.version
        timing.artifact = self.registry.origin(resolved.ref)
        return Lease(self, slot, model)

    def get(self, name: str) -> Lease:
        """`open` of what `resolve` says; for who needs nothing in between."""
        return self.open(self.resolve(name))

    def prefetch(self, name: str) -> None:
        """Bring the artifact of `name` to the disk and load nothing. Raises what `get` raises."""
        resolved = self.registry.resolve(name)
        deadline = time.monotonic() + self._fetch_seconds
        with self.disk.artifact(self.registry.store, resolved.ref, resolved.manifest, deadline):
            pass

    def preload(self, name: str) -> None:
        """Load what `name` means before a request asks for it. The first request that does still counts as a cold
        start, and reports the steps of this load. Raises what `get` raises."""
        with step("manifest"):
            ref = self.registry.resolve(name).ref
        slot, _ = self._acquire(ref, for_request=False)
        self._release(slot)

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

    def _acquire(self, ref: Ref, *, for_request: bool = True) -> tuple[_Slot, Model[Any, Any]]:
        """A slot with one user more, and its model. Raises what loading raises."""
        with self._lock:
            slot = self._slots.get(ref)
            if slot and slot.model and slot.preload_steps is None:
                slot.users += 1
                self.counters.hits += 1
                self._slots.move_to_end(ref)  # now the most recently used
                if self._over_limit:
                    self._evict()
                current().fields.setdefault("cold", False)
                return slot, slot.model
            slot = self._slots.setdefault(ref, _Slot())
            slot.users += 1
        try:
            model, loaded = self._wait_or_load(ref, slot, for_request=for_request)
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
        current().fields.setdefault("cold", loaded)
        return slot, model

    def _wait_or_load(self, ref: Ref, slot: _Slot, *, for_request: bool) -> tuple[Model[Any, Any], bool]:
        """The slot's model, and whether it was this thread that loaded it."""
        waiting = time.perf_counter()
        with slot.lock:
            if slot.model is None:
                model = self._load(ref)
                if not for_request:
                    slot.preload_steps = dict(current().steps)
                slot.model = model
                return model, True
            if for_request and slot.preload_steps is not None:  # a cold start all the same, whose load began earlier
                current().steps.update(slot.preload_steps, wait=(time.perf_counter() - waiting) * 1000)
                current().fields["cold"] = True
                slot.preload_steps = None
            return slot.model, False

    def _load(self, ref: Ref) -> Model[Any, Any]:
        deadline = time.monotonic() + self._fetch_seconds
        manifest = self.registry.manifest(ref)
        fetching = time.perf_counter()
        with self.disk.artifact(self.registry.store, ref, manifest, deadline) as folder:
            current().steps["fetch"] = (time.perf_counter() - fetching) * 1000
            with step("load"):
                return Model(manifest, folder, self._threads)

    def _release(self, slot: _Slot) -> None:
        with self._lock:
            slot.users -= 1

    def _evict(self) -> None:
        """Forget models that nobody uses, the least recently used first, until the others are within the limit."""
        size = sum(slot.model.manifest.size for slot in self._slots.values() if slot.model)
        for ref, slot in list(self._slots.items()):
            if size <= self.limit:
                break
            if slot.users == 0 and slot.model:
                del self._slots[ref]
                size -= slot.model.manifest.size
                self.counters.evictions += 1
        self._over_limit = size > self.limit


@functools.cache
def warm_cache() -> Cache:
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
