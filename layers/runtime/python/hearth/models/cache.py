"""The warm cache: models loaded into memory from verified artifacts on local disk. Both are bounded by bytes."""

from __future__ import annotations

import functools
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from types import TracebackType
from typing import Any

import msgspec

from hearth import settings
from hearth.deadline import expires_within, remaining
from hearth.errors import HearthError, Loading, ManifestError, SettingsError, Unavailable
from hearth.models.disk_cache import DiskCache
from hearth.models.manifest import Manifest
from hearth.models.model import Model
from hearth.models.registry import Ref, Registry, Resolved
from hearth.storage.open import open_store
from hearth.telemetry.timing import current, step

MAX_NAMES = 1000
"""Names whose last opened version is remembered."""


class _Slot(msgspec.Struct):
    """One artifact in memory. Its states and transitions:

        (no slot) --open-----> loading -> loaded
        (no slot) --preload--> loading -> preloaded --open--> loaded
        loading --error--> (no slot);  loaded, preloaded --evict, drop--> (no slot)

    loading: `model` is None, and the thread that loads it holds `lock`; preloaded: `preload_steps` is set.
    """

    lock: threading.Lock = msgspec.field(default_factory=threading.Lock)
    model: Model[Any, Any] | None = None
    users: int = 0
    preload_spans: list[tuple[str, float, float]] = []
    preload_steps: dict[str, float] | None = None
    """Milliseconds per step of a load whose model no request has used yet."""


class Counters(msgspec.Struct):
    hits: int = 0
    loads: int = 0
    load_failures: int = 0
    stale: int = 0
    """Number of requests answered by an alias's previous version, because the new one could not be loaded."""
    evictions: int = 0


class Lease:
    """A loaded model in use by a request: it stays in memory until `close`. Also a context manager that returns the
    model."""

    __slots__ = ("_cache", "_slot", "model")

    def __init__(self, cache: Cache, slot: _Slot, model: Model[Any, Any]) -> None:
        self._cache, self._slot, self.model = cache, slot, model

    def close(self) -> None:
        """Release the model; must be called once."""
        self._cache._release(self._slot)

    def __enter__(self) -> Model[Any, Any]:
        return self.model

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class Cache:
    """Loaded models. Concurrent requests for a model share one load; a model in use is never evicted."""

    def __init__(
        self,
        registry: Registry,
        disk: DiskCache,
        limit: int,
        threads: int,
        fetch_seconds: float,
        *,
        watches: bool = False,
    ) -> None:
        self.registry = registry
        self.disk = disk
        self.limit = limit
        self.counters = Counters()
        self._threads = threads
        self._fetch_seconds = fetch_seconds
        self._watches = watches
        self._slots: OrderedDict[Ref, _Slot] = OrderedDict()  # least recently used first
        self._over_limit = False  # the models in use exceed the limit, so eviction must be tried again
        self._last_opened: dict[str, Resolved] = {}  # the artifact that was opened last for each name
        self._lock = threading.Lock()

    def resolve(self, name: str) -> Resolved:
        """Resolve `name` to its current artifact, or to the last opened one if the manifest of a new version cannot be
        used.

        Raises what `Registry.resolve` raises.
        """
        with step("resolve"):
            try:
                return self.registry.resolve(name)
            except (Unavailable, ManifestError):
                previous = self._last_opened.get(name)
                if previous is None:
                    raise
                self.counters.stale += 1
                return previous

    def open(self, resolved: Resolved) -> Lease:
        """Load the model of `resolved`. If it cannot be loaded: the alias's own version in place of its canary, or the
        version last opened for the name.

        `Lease.model.manifest` says which. Raises IntegrityError, StoreError, Unavailable.
        """
        try:
            slot, model = self._acquire(resolved.ref)
        except HearthError:
            self.counters.load_failures += 1
            previous = self._previous(resolved)
            if previous is None or previous.ref == resolved.ref or previous.manifest.task != resolved.manifest.task:
                raise
            resolved = previous
            slot, model = self._acquire(previous.ref)
            self.counters.stale += 1
        if resolved.fallback is None:
            self._remember(resolved)
        timing = current()
        timing.fields["model"], timing.fields["version"] = resolved.ref.model, resolved.ref.version
        timing.artifact = self.registry.origin(resolved.ref)
        if self._watches or resolved.manifest.reference is not None:
            from hearth.models.sketch_writer import WRITER  # a cold start need not import it

            timing.observed = {}
            WRITER.start_if_due(resolved.manifest)
        return Lease(self, slot, model)

    def _remember(self, resolved: Resolved) -> None:
        """Remember what was opened for a name, for MAX_NAMES names."""
        if resolved.name not in self._last_opened:
            with self._lock:
                while len(self._last_opened) >= MAX_NAMES:
                    del self._last_opened[next(iter(self._last_opened))]
                self._last_opened[resolved.name] = resolved
        else:
            self._last_opened[resolved.name] = resolved

    def _previous(self, resolved: Resolved) -> Resolved | None:
        """What to open in place of an artifact that cannot be loaded."""
        if resolved.fallback is None:
            return self._last_opened.get(resolved.name)
        try:
            manifest = self.registry.manifest(resolved.fallback)
        except HearthError:
            return None
        return Resolved(resolved.name, resolved.fallback, manifest)

    def get(self, name: str) -> Lease:
        """Resolve and open `name`, for callers that need nothing in between."""
        return self.open(self.resolve(name))

    def prefetch(self, name: str) -> None:
        """Download the artifact of `name` to disk without loading it. Raises what `get` raises."""
        resolved = self.registry.resolve(name)
        deadline = time.monotonic() + self._fetch_seconds
        with self.disk.artifact(self.registry.store, resolved.ref, resolved.manifest, deadline):
            pass

    def preload(self, name: str) -> None:
        """Load the model of `name` before it is requested. The first request for it still counts as a cold start, and
        reports the steps of this load. Raises what `get` raises."""
        if settings.get().otlp_endpoint:
            current().spans = []
        with step("manifest"):
            ref = self.registry.resolve(name).ref
        slot, _ = self._acquire(ref, for_request=False)
        self._release(slot)

    def forget_checks(self) -> None:
        """Verify all files again, and read all aliases again."""
        self.disk.forget_checks()
        self.registry.forget_aliases()

    def loaded(self) -> set[Ref]:
        """The artifacts in memory."""
        with self._lock:
            return {ref for ref, slot in self._slots.items() if slot.model}

    def drop(self, ref: Ref) -> None:
        """Remove a model from memory; the memory is freed once no request uses the model."""
        with self._lock:
            if (slot := self._slots.get(ref)) and slot.model:
                del self._slots[ref]

    def _acquire(self, ref: Ref, *, for_request: bool = True) -> tuple[_Slot, Model[Any, Any]]:
        """Load the artifact if needed and add a user to its slot. Raises what loading raises."""
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
                if slot.model:  # loaded too late for this request; it stays, and others may have to go
                    self._evict()
                slot.users -= 1
                if (
                    slot.users == 0 and slot.model is None
                ):  # slots of artifacts that cannot be loaded must not accumulate
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
        """The slot's model, and whether this thread loaded it. Raises Loading if the request has no time left."""
        started = time.perf_counter()
        seconds = remaining() if for_request else None
        if not slot.lock.acquire(timeout=-1 if seconds is None else max(seconds, 0)):
            raise Loading(f"{ref} is being loaded; retry later")
        try:
            if slot.model is None:
                model = self._load(ref)
                if not for_request:
                    slot.preload_steps = dict(current().steps)
                    slot.preload_spans = current().spans or []
                slot.model = model
                if for_request and expires_within(0):
                    raise Loading(f"{ref} was loaded, but too late for this request; retry at once")
                return model, True
            if for_request and slot.preload_steps is not None:  # still a cold start; its load began earlier
                current().steps.update(slot.preload_steps, wait=(time.perf_counter() - started) * 1000)
                current().fields["cold"] = True
                if (spans := current().spans) is not None:
                    spans.extend(slot.preload_spans)
                slot.preload_steps = None
            return slot.model, False
        finally:
            slot.lock.release()

    def _load(self, ref: Ref) -> Model[Any, Any]:
        deadline = time.monotonic() + self._fetch_seconds
        manifest = self.registry.manifest(ref)
        started = time.perf_counter()
        with self.disk.artifact(self.registry.store, ref, manifest, deadline) as folder:
            current().record("fetch", started)
            self._check_size(ref, manifest)
            with step("load"):
                return Model(manifest, folder, self._threads)

    def _check_size(self, ref: Ref, manifest: Manifest) -> None:
        """Raise Unavailable for a model that is larger than the memory."""
        memory = settings.get().memory
        if manifest.size > memory:
            raise Unavailable(
                f"{ref} needs more than {manifest.size / 1e6:.0f} MB of memory, and there are {memory / 1e6:.0f} MB; "
                "give the function more",
                retry_after=None,
            )

    def _release(self, slot: _Slot) -> None:
        with self._lock:
            slot.users -= 1

    def _evict(self) -> None:
        """Remove unused models, the least recently used first, until the others are within the limit."""
        size = sum(slot.model.manifest.size for slot in self._slots.values() if slot.model)
        for ref, slot in list(self._slots.items()):
            if size <= self.limit:
                break
            if slot.users == 0 and slot.model:
                del self._slots[ref]
                size -= slot.model.manifest.size
                self.counters.evictions += 1
        self._over_limit = size > self.limit


class _Once:
    """A function without arguments that runs once, also if threads call it at the same time; `functools.cache` would
    run it in each of them."""

    def __init__(self, function: Callable[[], Cache]) -> None:
        self._function, self._lock = function, threading.Lock()
        self._result: Cache | None = None
        functools.update_wrapper(self, function)

    def __call__(self) -> Cache:
        if (result := self._result) is not None:
            return result
        with self._lock:
            if self._result is None:
                self._result = self._function()
            return self._result

    def cache_clear(self) -> None:
        self._result = None


@_Once
def warm_cache() -> Cache:
    """The cache of this process, created from its settings."""
    config = settings.get()
    if not config.store:
        raise SettingsError(
            "HEARTH_STORE is not set; set it to the artifacts' location, s3://bucket/prefix or file:///path"
        )
    trust = None
    if config.verify_keys:
        from hearth.models import signature

        trust = signature.read(config.verify_keys)
    registry = Registry(open_store(config.store), config.models, config.alias_seconds, trust)
    disk = DiskCache(config.cache_dir, config.cache_disk)
    return Cache(
        registry,
        disk,
        config.cache_memory,
        config.threads,
        config.fetch_seconds,
        watches=bool(config.watch or config.capture),
    )
