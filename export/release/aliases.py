"""Change aliases: the version that they point at, its canary and its shadow. Every change is a conditional write."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import msgspec
from msgspec.structs import replace

from hearth.errors import BadRequest, NotFound, StoreError
from hearth.models.manifest import Manifest, parse
from hearth.models.registry import DEFAULT_ALIAS, VERSION, Alias, Split
from hearth.storage.base import Conflict, Store
from hearth_build.release import catalog

ATTEMPTS = 5
"""Attempts to change aliases.json while others change it too."""
_NAME = re.compile("[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


def set_alias(store: Store, model: str, alias: str, version: str) -> None:
    """Point an alias at a published version, which then answers all its requests, and bring the catalogue up to date.

    Raises BadRequest, NotFound, Conflict, StoreError.
    """
    _check_name(alias)
    _manifest(store, model, version)
    change(store, model, alias, lambda old: Alias(version))


def set_canary(store: Store, model: str, alias: str, version: str, share: float) -> Alias:
    """Let a published version answer a share of the alias's callers. Raises as `set_alias`."""
    manifest = _manifest(store, model, version)

    def with_canary(old: Alias | None) -> Alias:
        return replace(_checked(store, model, alias, old, manifest), canary=Split(version, share))

    return change(store, model, alias, with_canary)


def set_shadow(store: Store, model: str, alias: str, version: str, share: float) -> Alias:
    """Let a published version compute the answers to a share of the alias's requests too. Raises as `set_alias`."""
    manifest = _manifest(store, model, version)

    def with_shadow(old: Alias | None) -> Alias:
        return replace(_checked(store, model, alias, old, manifest), shadow=Split(version, share))

    return change(store, model, alias, with_shadow)


def promote(store: Store, model: str, alias: str) -> Alias:
    """Point an alias at its canary. Its shadow ends. Raises as `set_alias`."""

    def promoted(old: Alias | None) -> Alias:
        if old is None or old.canary is None:
            raise BadRequest(f"{model}@{alias} has no version with a share that could be promoted")
        return Alias(old.canary.version)

    return change(store, model, alias, promoted)


def rollback(store: Store, model: str, alias: str) -> Alias:
    """Let an alias's own version answer all its requests; canary and shadow end. Raises as `set_alias`."""

    def rolled_back(old: Alias | None) -> Alias:
        if old is None or not (old.canary or old.shadow):
            raise BadRequest(
                f"{model}@{alias} has no version with a share and no shadow; `hearth alias {model} {alias} VERSION` "
                "points it at an earlier version"
            )
        return Alias(old.version)

    return change(store, model, alias, rolled_back)


def read_alias(store: Store, model: str, alias: str) -> Alias:
    """Raises NotFound, StoreError."""
    found = _read(store, model)[0].get(alias)
    if found is None:
        raise NotFound(f"{model} has no alias {alias} in this store. `hearth alias {model} {alias} VERSION` sets it.")
    return _parse(model, found)


def percent(share: float) -> str:
    return f"{100 * share:.4g} %"


def describe(alias: Alias) -> str:
    """What answers the requests of an alias, in words."""
    text = f"version {alias.version}"
    if alias.canary:
        text += f", version {alias.canary.version} for {percent(alias.canary.share)} of the callers"
    if alias.shadow:
        text += f", with version {alias.shadow.version} as shadow of {percent(alias.shadow.share)} of the requests"
    return text


def change(store: Store, model: str, alias: str, make: Callable[[Alias | None], Alias]) -> Alias:
    """Write what `make` returns for an alias as it is now, and return it. Concurrent changes of other aliases are
    preserved; `make` is called again after one. Raises Conflict, StoreError, and what `make` raises."""
    for attempt in range(ATTEMPTS):
        aliases, etag = _read(store, model)
        old = _parse(model, aliases[alias]) if alias in aliases else None
        new = make(old)
        aliases[alias] = msgspec.to_builtins(new)
        data = json.dumps(aliases, indent=2, sort_keys=True).encode() + b"\n"
        try:
            store.put(f"{model}/aliases.json", data, if_absent=etag is None, if_match=etag)
        except Conflict:
            if attempt == ATTEMPTS - 1:
                raise
        else:
            break
    if alias == DEFAULT_ALIAS and not (new.canary or new.shadow):  # the catalogue has the alias's own version
        catalog.update(store, model)
    return new


def _read(store: Store, model: str) -> tuple[dict[str, object], str | None]:
    """The aliases as they are stored, and their entity tag; none if there is no such object."""
    try:
        raw, etag = store.get_with_etag(f"{model}/aliases.json")
    except NotFound:
        return {}, None
    try:
        return dict(json.loads(raw)), etag
    except ValueError as error:
        raise StoreError(f"{model}/aliases.json cannot be read: {error}") from error


def _parse(model: str, entry: object) -> Alias:
    try:
        return msgspec.convert(entry, Alias)
    except msgspec.ValidationError as error:
        raise StoreError(f"{model}/aliases.json cannot be read: {error}") from error


def _check_name(alias: str) -> None:
    if not _NAME.fullmatch(alias) or alias.isdecimal():
        raise BadRequest(f"{alias!r} cannot be an alias: it must have letters, digits and - . _, and be no number")


def _manifest(store: Store, model: str, version: str) -> Manifest:
    """The manifest of a published version. Raises NotFound, ManifestError, StoreError."""
    path = f"{model}/{version}/manifest.json"
    if not VERSION.fullmatch(version) or path not in store.list(f"{model}/{version}/"):
        raise NotFound(f"{model} has no version {version} in this store. Publish it with `hearth publish`.")
    return parse(store.get(path))


def _checked(store: Store, model: str, alias: str, old: Alias | None, manifest: Manifest) -> Alias:
    """The alias, if a version may answer in place of its own one. Raises BadRequest, NotFound, StoreError."""
    if old is None:
        raise NotFound(
            f"{model} has no alias {alias} yet. `hearth alias {model} {alias} VERSION` points it at the version that "
            "has the other requests."
        )
    if manifest.version == old.version:
        raise BadRequest(f"{model}@{alias} is version {old.version} already; a share and a shadow need another version")
    own = _manifest(store, model, old.version)
    if manifest.task != own.task:
        raise BadRequest(
            f"Version {manifest.version} of {model} supports {manifest.task}, but version {old.version} {own.task}; "
            "callers would get answers of another form"
        )
    return old
