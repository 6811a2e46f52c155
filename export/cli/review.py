"""`hearth review`."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from hearth.errors import BadRequest
from hearth_build import ZOO
from hearth_build.cli.options import NameArgument, StoreOption


def review(
    name: NameArgument,
    store: StoreOption = ZOO.as_uri(),
    capture: Annotated[
        str,
        typer.Option(envvar="HEARTH_CAPTURE", help="Where inputs are captured: s3://bucket/prefix or file:///path."),
    ] = "",
    output: Annotated[
        Path | None,
        typer.Option(help="Write what is labelled for `hearth train`: NAME.jsonl for texts, a folder for pictures."),
    ] = None,
    export_only: Annotated[bool, typer.Option("--export-only", help="Write the output and serve no page.")] = False,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=0, max=65535)] = 8001,
) -> None:
    """Label captured inputs on a local page, the most doubtful first, until it is interrupted."""
    from hearth.models.cache import warm_cache
    from hearth.storage.open import open_store
    from hearth_build.cli.suggestions import similar_models
    from hearth_build.labelling.captured import export, read_items

    if not capture:
        raise BadRequest(
            "Where are inputs captured? Set HEARTH_CAPTURE for `hearth serve` and here (--capture), e.g. file:///captured"
        )
    if export_only and output is None:
        raise BadRequest("--export-only needs --output")
    os.environ["HEARTH_STORE"] = store
    with similar_models(store, name):
        manifest = warm_cache().resolve(name).manifest
    location = open_store(capture)
    location.check()
    items = read_items(location, manifest.model)
    if not items:
        raise BadRequest(f"No input of {manifest.model} is captured in {capture}")
    if not export_only:
        from hearth.http import server
        from hearth_build.labelling.page import create_page

        listener = server.listen(host, port)
        address = f"http://{host}:{listener.getsockname()[1]}/"
        print(f"{sum(not item.label for item in items)} of {len(items)} items have no label: {address}", flush=True)
        with suppress(KeyboardInterrupt):
            server.run(create_page(location, manifest.model, manifest.labels, items, host), listener)
    if output is not None:
        count = export(items, output)
        task = manifest.task
        print(f"Wrote {count} labelled items. Next: hearth train {task} --data {output} --name {manifest.model}")
