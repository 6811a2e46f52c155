"""Artifacts into a store, aliases onto versions; `hearth publish ARTIFACT --store URI` runs it.

A version's files go first, then its signature, and its manifest last, which must not exist yet: versions never change.
Nothing goes before the artifact has loaded and answered its golden inputs in a process of its own (`hearth_build.release.load_gate`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hearth.errors import BadRequest, NotFound
from hearth.models.download import upload, verify
from hearth.models.manifest import SIGNATURE, Manifest, parse
from hearth.models.registry import Registry
from hearth.storage.base import Conflict, Store
from hearth_build.release.file_types import refuse_foreign
from hearth_build.release.load_gate import admit

if TYPE_CHECKING:
    from hearth_build.release.signing import Signer

ATTEMPTS = 5
"""Of changing aliases.json while others change it too."""


def publish(store: Store, folder: Path, alias: str | None = None, signer: Signer | None = None) -> Manifest:
    """Copy an artifact folder into the store, signed by `signer`, or with the model.sig that lies in it already.

    Raises BadRequest for a folder that is no artifact, or not a sound one, and Conflict if the version is there.
    """
    path = folder / "manifest.json"
    if not path.is_file():
        raise BadRequest(
            f"{folder} has no manifest.json, so it is no artifact. `hearth build` writes one when it ends."
        )
    raw = path.read_bytes()
    manifest = parse(raw)
    refuse_foreign(folder, manifest)
    broken = [file.path for file in manifest.files if not verify(file, folder / file.path)]
    if broken:
        raise BadRequest(f"{folder}: {', '.join(broken)} differ from manifest.json. Build the artifact anew.")
    prefix = f"{manifest.model}/{manifest.version}"
    if f"{prefix}/manifest.json" in store.list(f"{prefix}/"):
        raise Conflict(f"{manifest.model}@{manifest.version} is published already; versions never change. Raise it.")
    admit(folder, manifest)
    signature = _signature(folder, manifest, raw, signer)
    for file in manifest.files:
        upload(store, f"{prefix}/{file.path}", folder / file.path)
    if signature:
        store.put(f"{prefix}/{SIGNATURE}", signature)
    store.put(f"{prefix}/manifest.json", raw, if_absent=True)
    if alias:
        set_alias(store, manifest.model, alias, manifest.version)
    return manifest


def _signature(folder: Path, manifest: Manifest, raw: bytes, signer: Signer | None) -> bytes:
    if signer:
        from hearth_build.release.signing import digests_of, sign

        return sign(signer, f"{manifest.model}@{manifest.version}", digests_of(manifest, raw))
    path = folder / SIGNATURE
    return path.read_bytes() if path.is_file() else b""


def set_alias(store: Store, model: str, alias: str, version: str) -> None:
    """Point an alias at a published version; other aliases stay, whoever changes them meanwhile. Raises NotFound."""
    if f"{model}/{version}/manifest.json" not in store.list(f"{model}/{version}/"):
        raise NotFound(f"{model} has no version {version} in this store. `hearth publish` puts it there.")
    path = f"{model}/aliases.json"
    for attempt in range(ATTEMPTS):
        try:
            raw, etag = store.get_with_etag(path)
        except NotFound:
            raw, etag = b"{}", None
        aliases = json.loads(raw) | {alias: {"version": version}}
        changed = json.dumps(aliases, indent=2, sort_keys=True).encode() + b"\n"
        try:
            store.put(path, changed, if_absent=etag is None, if_match=etag)
        except Conflict:
            if attempt == ATTEMPTS - 1:
                raise
        else:
            return


@dataclass(frozen=True)
class Held:
    """A version that a store holds."""

    manifest: Manifest
    aliases: list[str]


def listing(store: Store) -> list[Held]:
    """Every version in the store, in order."""
    registry = Registry(store, alias_seconds=0)
    rows = []
    for path in store.list():
        parts = path.split("/")
        if len(parts) == 3 and parts[2] == "manifest.json":
            try:
                aliases = registry.aliases(parts[0])
            except NotFound:
                aliases = {}
            pointing = sorted(name for name, target in aliases.items() if target.version == parts[1])
            rows.append(Held(parse(store.get(path)), pointing))
    return sorted(rows, key=lambda row: (row.manifest.model, int(row.manifest.version)))
