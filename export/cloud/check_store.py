"""A store: what it holds is what manifests, aliases and signatures say."""

from __future__ import annotations

import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

from hearth.errors import HearthError
from hearth.models.download import fetch
from hearth.models.manifest import SIGNATURE, Manifest
from hearth.models.registry import DEFAULT_ALIAS, Ref, Registry
from hearth.models.signature import Trust
from hearth.storage.base import Store
from hearth_build.cloud.finding import Finding, fine, wrong

FETCH_SECONDS = 600


def store(where: Store, trust: Trust | None = None, *, deep: bool = False) -> Iterator[Finding]:
    """With `trust`, signatures are checked; `deep`, every byte against its digest."""
    try:
        held: dict[str, set[str]] = defaultdict(set)
        for path in where.iter_paths():
            model, _, rest = path.partition("/")
            held[model].add(rest)
    except (HearthError, OSError) as error:
        yield wrong(f"{where.uri} cannot be listed: {error}.")
        return
    if not held:
        yield wrong(f"{where.uri} holds no model: `hearth publish` puts one there.")
        return
    yield fine(f"{where.uri} is there and holds {len(held)} models.")
    registry = Registry(where, alias_seconds=0, trust=trust)
    for model, paths in sorted(held.items()):
        yield from _aliases(where, model, paths)
        versions = sorted({path.partition("/")[0] for path in paths if "/" in path}, key=lambda text: (len(text), text))
        for version in versions:
            yield _version(registry, Ref(model, version), paths, deep=deep)


def _aliases(where: Store, model: str, paths: set[str]) -> Iterator[Finding]:
    if "aliases.json" not in paths:
        yield wrong(f"{model} has no alias, so its name alone means nothing: `hearth alias {model} prod VERSION`.")
        return
    try:
        aliases = json.loads(where.get(f"{model}/aliases.json"))
        targets: Mapping[str, str] = {name: str(row["version"]) for name, row in aliases.items()}
    except (HearthError, ValueError, KeyError, TypeError, AttributeError) as error:
        yield wrong(f"{model}/aliases.json cannot be read: {error!r}.")
        return
    if DEFAULT_ALIAS not in targets:
        yield wrong(f"{model} has no alias {DEFAULT_ALIAS}, which its name alone means.")
    for name, version in sorted(targets.items()):
        if f"{version}/manifest.json" not in paths:
            yield wrong(f"{model}@{name} points to version {version}, which is not there.")
        else:
            yield fine(f"{model}@{name} is version {version}.")


def _version(registry: Registry, ref: Ref, paths: set[str], *, deep: bool) -> Finding:
    if f"{ref.version}/manifest.json" not in paths:
        return wrong(f"{ref} has files and no manifest: a publication that did not end. Publish it again.")
    try:
        manifest = registry.manifest(ref)
        wanted = {file.path for file in manifest.files}
        found = {path.partition("/")[2] for path in paths if path.startswith(f"{ref.version}/")}
        if missing := wanted - found:
            return wrong(f"{ref} lacks {', '.join(sorted(missing))}.")
        if extra := found - wanted - {"manifest.json", SIGNATURE}:
            return wrong(f"{ref} has files that its manifest does not list: {', '.join(sorted(extra))}.")
        if deep:
            _fetch(registry.store, ref, manifest)
    except (HearthError, OSError) as error:
        return wrong(f"{ref}: {error}.")
    signed = registry.origin(ref)[1]
    words = ["is whole" if deep else "has all its files"] + [f"was signed by {signed}"] * bool(signed)
    return fine(f"{ref} {' and '.join(words)}.")


def _fetch(where: Store, ref: Ref, manifest: Manifest) -> None:
    with tempfile.TemporaryDirectory() as folder:
        deadline = time.monotonic() + FETCH_SECONDS
        fetch(where, f"{ref.model}/{ref.version}", manifest.files, Path(folder), deadline)
