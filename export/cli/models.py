"""`hearth models`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from hearth_build import ZOO
from hearth_build.cli.options import JsonOption, StoreOption
from hearth_build.cli.output import print_json, print_table
from hearth_build.cli.suggestions import check_task, did_you_mean

if TYPE_CHECKING:
    from hearth_build.release.versions import PublishedVersion


def models(
    name: Annotated[str | None, typer.Argument(help="List only the versions of this model.")] = None,
    store: StoreOption = ZOO.as_uri(),
    task: Annotated[str, typer.Option(help="List only models of this task.")] = "",
    long: Annotated[bool, typer.Option("--long", help="Add metrics, quantization and licence.")] = False,
    json: JsonOption = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print a Markdown table for documents.")] = False,
) -> None:
    """List the models in a store."""
    from hearth.errors import NotFound
    from hearth.storage.open import open_store
    from hearth_build.release.versions import list_versions

    check_task(task)
    versions, damaged = list_versions(open_store(store))
    for version in damaged:
        typer.echo(f"error: {version.name}: {version.error}", err=True)
    names = {version.manifest.model for version in versions}
    if name is not None and name not in names:
        raise NotFound(f"There is no model {name} in {store}.{did_you_mean(name, names)}")
    versions = [
        version
        for version in versions
        if name in (None, version.manifest.model) and task in ("", version.manifest.task)
    ]
    if json:
        print_json([_summary(version) for version in versions])
    elif markdown:
        from hearth_build.pipeline.model_card import overview

        print(overview([version.manifest for version in versions]))
    elif versions:
        _print(versions, long)
    else:
        typer.echo(f"No models{f' of {task}' if task else ''} in {store}. `hearth publish` adds one.", err=True)


def _summary(version: PublishedVersion) -> dict[str, Any]:
    manifest = version.manifest
    return {
        "model": manifest.model,
        "version": manifest.version,
        "task": manifest.task,
        "aliases": version.aliases,
        "bytes": manifest.size,
        "quantization": manifest.quantization.method,
        "metric": manifest.metrics.metric,
        "metrics": manifest.metrics.served,
        "dataset": manifest.metrics.dataset,
        "licence": manifest.licence,
        "description": manifest.description,
    }


def _print(versions: list[PublishedVersion], long: bool) -> None:
    titles = ["model", "version", "task", "aliases", "MB", *(("quantization", "metric", "licence") if long else ())]
    rows = []
    for version in versions:
        manifest, metric = version.manifest, version.manifest.metrics.metric
        row = [manifest.model, manifest.version, manifest.task, ", ".join(version.aliases) or "-"]
        row.append(f"{manifest.size / 1e6:.1f}")
        if long:
            measured = f"{metric} {manifest.metrics.served[metric]:.4g}" if metric in manifest.metrics.served else "-"
            row += [manifest.quantization.method, measured, manifest.licence]
        rows.append(row)
    print_table(titles, rows, right=("version", "MB"))
