"""`hearth export-hub`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from hearth_build import ZOO
from hearth_build.cli.options import NameArgument, StoreOption


def export_hub(
    name: NameArgument,
    folder: Annotated[Path, typer.Argument(help="The folder to write; it must not exist.")],
    store: StoreOption = ZOO.as_uri(),
) -> None:
    """Write a version as a folder in the layout of the Hugging Face Hub, for Transformers.js and optimum."""
    import time

    from hearth.models.cache import warm_cache
    from hearth_build.cli.suggestions import similar_models
    from hearth_build.release.hub_folder import write

    os.environ["HEARTH_STORE"] = store
    cache = warm_cache()
    with similar_models(store, name):
        resolved = cache.resolve(name)
    deadline = time.monotonic() + 600
    with cache.disk.artifact(cache.registry.store, resolved.ref, resolved.manifest, deadline) as source:
        files = write(resolved.manifest, source, folder)
    print(f"Wrote {resolved.ref} to {folder}: {', '.join(str(path.relative_to(folder)) for path in files)}")
    print(f"Next: hf upload USER/{resolved.ref.model} {folder}")
