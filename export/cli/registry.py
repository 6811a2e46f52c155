"""`hearth push` and `hearth pull`: models in registries of containers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from hearth_build import ZOO
from hearth_build.cli.options import NameArgument, StoreOption

ReferenceArgument = Annotated[str, typer.Argument(help="HOST/REPOSITORY:TAG, such as ghcr.io/me/reviews:1.")]


def push(name: NameArgument, reference: ReferenceArgument, store: StoreOption = ZOO.as_uri()) -> None:
    """Write a version to a registry of containers, as a ModelPack artifact. Credentials are those of `docker login`."""
    import tempfile
    import time

    from hearth.errors import NotFound
    from hearth.models.cache import warm_cache
    from hearth.models.manifest import SIGNATURE
    from hearth_build.cli.suggestions import similar_models
    from hearth_build.release import oci

    os.environ["HEARTH_STORE"] = store
    cache = warm_cache()
    with similar_models(store, name):
        resolved = cache.resolve(name)
    deadline = time.monotonic() + 600
    with (
        tempfile.TemporaryDirectory() as scratch,
        cache.disk.artifact(cache.registry.store, resolved.ref, resolved.manifest, deadline) as source,
    ):
        files = {file.path: source / file.path for file in resolved.manifest.files}
        for extra in ("manifest.json", SIGNATURE):
            try:
                content = cache.registry.store.get(f"{resolved.ref.model}/{resolved.ref.version}/{extra}")
            except NotFound:
                continue
            files[extra] = Path(scratch) / extra
            files[extra].write_bytes(content)
        digest = oci.push(resolved.manifest, files, reference)
    print(f"Pushed {resolved.ref} to {reference} ({digest})")
    print(f"Next: hearth pull {reference} FOLDER")


def pull(
    reference: ReferenceArgument,
    folder: Annotated[Path, typer.Argument(help="The folder to write; it must not exist.")],
) -> None:
    """Write a model of a registry of containers into a folder, to publish or to import."""
    from hearth_build.release import oci

    files = oci.pull(reference, folder)
    print(f"Wrote {', '.join(str(path.relative_to(folder)) for path in files)} to {folder}")
    is_ours = (folder / "manifest.json").is_file()
    following = "publish {} --store STORE --alias prod" if is_ours else "import {} --name NAME"
    print(f"Next: hearth {following.format(folder)}")
