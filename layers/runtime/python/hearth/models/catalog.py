"""The store's catalogue: one object that describes every model, so that listing them takes one request.

`hearth publish` and `hearth alias` keep it current, `hearth catalog` writes it anew. A store without one is listed.
"""

from __future__ import annotations

import msgspec

from hearth.errors import NotFound, StoreError
from hearth.models.manifest import Manifest
from hearth.storage.base import Store

FILE = "catalog.json"
MAX_BYTES = 64 * 1024 * 1024
"""Largest size of a catalogue: 100,000 models."""


class CatalogEntry(msgspec.Struct, frozen=True):
    """A model, as its alias `prod` points to it."""

    task: str
    version: str
    description: str
    licence: str
    size: int
    """Bytes."""
    metrics: dict[str, float]
    """Metrics of the served graph on held-out data."""


Catalog = dict[str, CatalogEntry]
"""Entries by the names of the models, sorted."""


def describe(manifest: Manifest) -> CatalogEntry:
    return CatalogEntry(
        manifest.task,
        manifest.version,
        manifest.description,
        manifest.licence,
        manifest.size,
        manifest.metrics.served,
    )


def read(store: Store) -> tuple[Catalog, str] | None:
    """The catalogue and its entity tag; None if the store has none. Raises StoreError."""
    try:
        raw, etag = store.get_with_etag(FILE, limit=MAX_BYTES)
        return msgspec.json.decode(raw, type=Catalog), etag
    except NotFound:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StoreError(
            f"{FILE} of {store.uri} cannot be read: {error}; write it anew with `hearth catalog`"
        ) from error
