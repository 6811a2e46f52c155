"""Check that the files of a store agree with its manifests, aliases and signatures."""

from __future__ import annotations

import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import msgspec

from hearth.errors import HearthError
from hearth.models import catalog
from hearth.models.download import fetch
from hearth.models.manifest import SIGNATURE, Manifest
from hearth.models.registry import DEFAULT_ALIAS, Alias, Ref, Registry
from hearth.models.signature import Trust
from hearth.storage.base import Store
from hearth_build.cloud.finding import Finding, ok, problem
from hearth_build.release.aliases import describe
from hearth_build.release.catalog import describe_all

FETCH_SECONDS = 600
"""Time limit for downloading one version."""


def check_store(store: Store, trust: Trust | None = None, *, deep: bool = False) -> Iterator[Finding]:
    """With `trust`, verify signatures; with `deep`, download every file and compare its digest."""
    try:
        paths_by_model: dict[str, set[str]] = defaultdict(set)
        for path in store.iter_paths():
            model, _, path_in_model = path.partition("/")
            if path_in_model:
                paths_by_model[model].add(path_in_model)
    except (HearthError, OSError) as error:
        yield problem(f"{store.uri} cannot be listed: {error}.")
        return
    if not paths_by_model:
        yield problem(f"{store.uri} contains no models. Publish one with `hearth publish`.")
        return
    yield ok(f"{store.uri} contains {len(paths_by_model)} models.")
    yield from _check_catalog(store)
    registry = Registry(store, alias_seconds=0, trust=trust)
    for model, paths in sorted(paths_by_model.items()):
        yield from _check_aliases(store, model, paths)
        versions = sorted({path.partition("/")[0] for path in paths if "/" in path}, key=lambda text: (len(text), text))
        for version in versions:
            yield _check_version(registry, Ref(model, version), paths, deep=deep)


def _check_catalog(store: Store) -> Iterator[Finding]:
    try:
        stored = catalog.read(store)
        if stored is None:
            return
        expected = describe_all(store)
    except HearthError as error:
        yield problem(f"{error.message}.")
        return
    outdated = sorted(name for name in stored[0].keys() | expected if stored[0].get(name) != expected.get(name))
    if outdated:
        yield problem(
            f"{catalog.FILE} is out of date for {', '.join(outdated[:5])}: `hearth catalog --store {store.uri}`."
        )
    else:
        yield ok(f"{catalog.FILE} describes all {len(expected)} models that have the alias {DEFAULT_ALIAS}.")


def _check_aliases(store: Store, model: str, paths: set[str]) -> Iterator[Finding]:
    if "aliases.json" not in paths:
        yield problem(
            f"{model} has no alias, so it cannot be called by its name alone: `hearth alias {model} prod VERSION`."
        )
        return
    try:
        aliases = msgspec.json.decode(store.get(f"{model}/aliases.json"), type=dict[str, Alias])
    except (HearthError, ValueError) as error:
        yield problem(f"{model}/aliases.json cannot be read: {error!r}.")
        return
    if DEFAULT_ALIAS not in aliases:
        yield problem(f"{model} has no alias {DEFAULT_ALIAS}, so it cannot be called by its name alone.")
    for name, alias in sorted(aliases.items()):
        versions = [alias.version, *(split.version for split in (alias.canary, alias.shadow) if split)]
        missing = [version for version in versions if f"{version}/manifest.json" not in paths]
        if missing:
            yield problem(f"{model}@{name} points to version {missing[0]}, which does not exist.")
        else:
            yield ok(f"{model}@{name} is {describe(alias)}.")


def _check_version(registry: Registry, ref: Ref, paths: set[str], *, deep: bool) -> Finding:
    if f"{ref.version}/manifest.json" not in paths:
        return problem(f"{ref} has files but no manifest: publishing was interrupted. Publish it again.")
    try:
        manifest = registry.manifest(ref)
        expected = {file.path for file in manifest.files}
        present = {path.partition("/")[2] for path in paths if path.startswith(f"{ref.version}/")}
        if missing := expected - present:
            return problem(f"{ref} lacks {', '.join(sorted(missing))}.")
        if extra := present - expected - {"manifest.json", SIGNATURE}:
            return problem(f"{ref} has files that its manifest does not list: {', '.join(sorted(extra))}.")
        if deep:
            _fetch(registry.store, ref, manifest)
    except (HearthError, OSError) as error:
        return problem(f"{ref}: {error}.")
    state = "is intact" if deep else "has all its files"
    signed_by = registry.origin(ref)[1]
    return ok(f"{ref} {state} and was signed by {signed_by}." if signed_by else f"{ref} {state}.")


def _fetch(store: Store, ref: Ref, manifest: Manifest) -> None:
    with tempfile.TemporaryDirectory() as folder:
        deadline = time.monotonic() + FETCH_SECONDS
        fetch(store, f"{ref.model}/{ref.version}", manifest.files, Path(folder), deadline)
