"""Keep the store's catalogue current: `hearth publish` and `hearth alias` change one entry, `hearth catalog` all."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import msgspec

from hearth.errors import IntegrityError, ManifestError, NotFound
from hearth.models.catalog import FILE, MAX_BYTES, Catalog, CatalogEntry, describe, read
from hearth.models.registry import Registry, models_with_aliases
from hearth.storage.base import Conflict, Store

SECONDS = 60
"""Time to change the catalogue while others change it too."""
WAIT_SECONDS = 0.05
"""Average wait before the second attempt; later ones wait longer, at most forty times as long."""
THREADS = 16
"""Models that are described at once."""


def update(store: Store, model: str) -> None:
    """Describe a model as its alias `prod` is now. Raises Conflict, StoreError."""

    def change() -> Catalog | None:
        stored = read(store)
        if stored is None:
            return None
        entry = _describe(store, model)  # after the catalogue was read, so that a later change of the alias wins
        others = {name: other for name, other in stored[0].items() if name != model}
        return others | {model: entry} if entry else others

    _write(store, lambda: change() or describe_all(store))


def rebuild(store: Store) -> Catalog:
    """Write the catalogue anew from the models of the store. Raises Conflict, StoreError."""
    store.check()
    return _write(store, lambda: describe_all(store))


def describe_all(store: Store) -> Catalog:
    """What every model of the store is. Raises StoreError."""
    names = models_with_aliases(store)
    with ThreadPoolExecutor(THREADS) as pool:
        entries = zip(names, pool.map(lambda name: _describe(store, name), names), strict=True)
        return {name: entry for name, entry in entries if entry}


def _describe(store: Store, model: str) -> CatalogEntry | None:
    """A model as its alias `prod` is now; None: it has no such alias, or is damaged. Raises StoreError."""
    try:
        return describe(Registry(store).resolve(model).manifest)
    except (NotFound, ManifestError, IntegrityError):
        return None


def _write(store: Store, make: Callable[[], Catalog]) -> Catalog:
    """Write what `make` returns, unless others wrote meanwhile; then again. Raises Conflict, and what `make` raises."""
    deadline, wait = time.monotonic() + SECONDS, WAIT_SECONDS
    while True:
        etag = _etag(store)
        entries = dict(sorted(make().items()))
        try:
            store.put(FILE, msgspec.json.encode(entries), if_absent=etag is None, if_match=etag)
        except Conflict:
            if time.monotonic() > deadline:
                raise
            time.sleep(random.uniform(0, 2 * wait))
            wait = min(2 * wait, 40 * WAIT_SECONDS)
        else:
            return entries


def _etag(store: Store) -> str | None:
    try:
        return store.get_with_etag(FILE, limit=MAX_BYTES)[1]
    except NotFound:
        return None
