"""Publish artifacts to a store; `hearth publish ARTIFACT --store URI` runs it.

A version's files are written first, then its signature, and its manifest last. The manifest must not exist yet, because
versions never change. Nothing is written before the artifact has passed the load gate in a separate process
(`hearth_build.release.load_gate`).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import structs

from hearth.errors import BadRequest
from hearth.models.download import upload, verify
from hearth.models.manifest import SIGNATURE, Manifest, Reference, dump, parse
from hearth.storage.base import Conflict, Store
from hearth_build.release.aliases import set_alias
from hearth_build.release.file_types import check_file_types
from hearth_build.release.load_gate import admit
from hearth_build.release.version_claim import claim

if TYPE_CHECKING:
    from hearth_build.release.signing import Signer


def publish(
    store: Store,
    folder: Path,
    alias: str | None = None,
    signer: Signer | None = None,
    reference: Path | None = None,
) -> Manifest:
    """Copy an artifact folder into the store, signed by `signer`, or with the model.sig that it contains.

    Returns its manifest with the version that it got: the artifact's own number, or the next one if that is published
    already. The same files again keep the version that they have. The manifest gets the statistics of the data at
    `reference`. Raises BadRequest for a folder that is not a valid artifact, Conflict if a version that was signed
    beforehand is published already, and DataError for data that cannot be read.
    """
    path = folder / "manifest.json"
    if not path.is_file():
        raise BadRequest(
            f"{folder} has no manifest.json, so it is not an artifact. `hearth build` writes it at the end."
        )
    raw = path.read_bytes()
    manifest = parse(raw)
    check_file_types(folder, manifest)
    altered = [file.path for file in manifest.files if not verify(file, folder / file.path)]
    if altered:
        raise BadRequest(f"{folder}: {', '.join(altered)} differ from manifest.json. Build the artifact again.")
    if reference is not None:
        if (folder / SIGNATURE).is_file() and signer is None:
            raise BadRequest(f"{SIGNATURE} in {folder} signs the manifest as it is. Sign anew with --sign.")
        manifest = structs.replace(manifest, reference=_reference(manifest, folder, reference))
        raw = dump(manifest)
    versions = _published_versions(store, manifest.model)
    if manifest.version in versions and (folder / SIGNATURE).is_file() and signer is None:
        raise Conflict(
            f"{manifest.model}@{manifest.version} is already published, and versions never change; {SIGNATURE} in "
            f"{folder} signs this version. Remove it, or sign anew with --sign."
        )
    if manifest.version in versions:
        same = _same_version(store, manifest, versions)
        if same is not None:
            if alias:
                set_alias(store, same.model, alias, same.version)
            return same
        manifest = structs.replace(manifest, version=str(max(map(int, versions)) + 1))
        raw = dump(manifest)
    admit(folder, manifest)
    signed_before = signer is None and (folder / SIGNATURE).is_file()
    with claim(store, manifest.model, manifest.version, fixed=signed_before) as version:
        if version != manifest.version:
            manifest = structs.replace(manifest, version=version)
            raw = dump(manifest)
        prefix = f"{manifest.model}/{version}"
        signature = _signature(folder, manifest, raw, signer)
        for file in manifest.files:
            upload(store, f"{prefix}/{file.path}", folder / file.path)
        if signature:
            store.put(f"{prefix}/{SIGNATURE}", signature)
        store.put(f"{prefix}/manifest.json", raw, if_absent=True)
    if alias:
        set_alias(store, manifest.model, alias, manifest.version)
    return manifest


def _reference(manifest: Manifest, folder: Path, data: Path) -> Reference:
    """Statistics of data in the format of the model's task. Raises BadRequest if there are too few examples."""
    from hearth.models.model import Model
    from hearth_build.drift.reference import MIN_EXAMPLES, make_reference
    from hearth_build.pipeline.evaluation import evaluation_of, examples_from

    examples = examples_from(data, manifest.task)
    model = Model[Any, Any](manifest, folder, threads=1)
    reference = make_reference(model, evaluation_of(manifest.task), examples, data.name)
    if reference is None:
        raise BadRequest(
            f"{data} gives no reference for {manifest.task}: at least {MIN_EXAMPLES} examples are needed, of a task "
            "whose inputs are watched (docs/watch.md)"
        )
    return reference


def _published_versions(store: Store, model: str) -> set[str]:
    paths = (path.split("/") for path in store.list(f"{model}/"))
    return {parts[1] for parts in paths if len(parts) == 3 and parts[2] == "manifest.json"}


def _same_version(store: Store, manifest: Manifest, versions: set[str]) -> Manifest | None:
    """The published version with the same files and reference, the newest of several."""
    for version in sorted(versions, key=int, reverse=True):
        published = parse(store.get(f"{manifest.model}/{version}/manifest.json"))
        if published.files == manifest.files and published.reference == manifest.reference:
            return published
    return None


def _signature(folder: Path, manifest: Manifest, raw: bytes, signer: Signer | None) -> bytes:
    if signer:
        from hearth_build.release.signing import digests_of, sign

        return sign(signer, f"{manifest.model}@{manifest.version}", digests_of(manifest, raw))
    path = folder / SIGNATURE
    return path.read_bytes() if path.is_file() else b""
