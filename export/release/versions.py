"""What is in a store: every version with its aliases, and what is damaged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hearth.errors import HearthError, NotFound
from hearth.models.manifest import Manifest
from hearth.models.registry import VERSION, Alias, Ref, Registry
from hearth.storage.base import Store
from hearth_build.release.aliases import percent


@dataclass(frozen=True)
class PublishedVersion:
    """A version in a store, with the aliases that point at it."""

    manifest: Manifest
    aliases: list[str]


@dataclass(frozen=True)
class DamagedVersion:
    """A version in a store that cannot be served."""

    name: str
    error: str


def list_versions(store: Store) -> tuple[list[PublishedVersion], list[DamagedVersion]]:
    """Every version in the store, ordered by model and version, and those that are damaged. Raises StoreError."""
    store.check()
    registry = Registry(store)
    versions, damaged = [], []
    for path in store.list():
        parts = path.split("/")
        if len(parts) != 3 or parts[2] != "manifest.json" or not VERSION.fullmatch(parts[1]):
            continue
        ref = Ref(parts[0], parts[1])
        try:
            versions.append(PublishedVersion(registry.manifest(ref), aliases_of(registry, ref)))
        except HearthError as error:
            damaged.append(DamagedVersion(str(ref), error.message))
    return sorted(versions, key=lambda version: (version.manifest.model, int(version.manifest.version))), damaged


def aliases_of(registry: Registry, ref: Ref) -> list[str]:
    """The aliases that point at a version or have it as canary or shadow, sorted. Raises StoreError."""
    try:
        aliases = registry.aliases(ref.model)
    except NotFound:
        return []
    return sorted(role for name, alias in aliases.items() for role in _roles(name, alias, ref.version))


def _roles(name: str, alias: Alias, version: str) -> Iterator[str]:
    """What a version is for an alias: its own version, its canary with the share, or its shadow."""
    if alias.version == version:
        yield name
    if alias.canary and alias.canary.version == version:
        yield f"{name} ({percent(alias.canary.share)} of callers)"
    if alias.shadow and alias.shadow.version == version:
        yield f"{name} (shadow)"
