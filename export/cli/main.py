"""The `hearth` command. Each command imports what it needs, so that most of them work without torch."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from hearth.bootstrap import prepare_process
from hearth.errors import HearthError
from hearth.models.manifest import Provider
from hearth.storage.open import open_store
from hearth_build import ZOO
from hearth_build.cli.api_keys import api_key, audit
from hearth_build.cli.batch import batch
from hearth_build.cli.bench import bench
from hearth_build.cli.cost import cost
from hearth_build.cli.deploy import deploy, template
from hearth_build.cli.doctor import doctor
from hearth_build.cli.explain import explain
from hearth_build.cli.import_model import import_model
from hearth_build.cli.predict import predict
from hearth_build.cli.signing import sign, signing_key, verify
from hearth_build.cli.stacks import destroy, logs
from hearth_build.cli.train import parse_columns, train
from hearth_build.cli.watch import watch
from hearth_build.installation import install_command

app = typer.Typer(help="Hearth: AI models from serverless functions.", no_args_is_help=True, add_completion=False)
console = Console()
errors = Console(stderr=True)
StoreOption = Annotated[str, typer.Option(envvar="HEARTH_STORE", help="s3://bucket/prefix or file:///path")]


@app.command()
def build(
    recipe: Annotated[str | None, typer.Argument(help="Name of a recipe. Without a name, all are listed.")] = None,
    step: Annotated[
        str | None, typer.Option(help="Run only this step: prepare, train, export, quantize or verify.")
    ] = None,
    work: Annotated[Path | None, typer.Option(help="Folder for the files of the steps. Default: build/NAME.")] = None,
    provider: Annotated[
        Provider,
        typer.Option(help="Also measure this execution provider, and use it if it is faster and as accurate."),
    ] = "cpu",
) -> None:
    """Build an artifact in five steps: prepare, train, export, quantize, verify. An interrupted build resumes."""
    from hearth_build import recipe as recipes
    from hearth_build.pipeline.build import Step
    from hearth_build.pipeline.build import build as run

    if recipe is None:
        raise typer.BadParameter(f"Name a recipe: {', '.join(recipes.names())}. `hearth import` imports a model.")
    loaded = recipes.load(recipe)
    if step is not None and step not in list(Step):
        raise typer.BadParameter(f"--step must be one of {', '.join(Step)}.")
    command = shlex.join(["hearth", *sys.argv[1:]])
    run(loaded, work or Path("build") / loaded.name, command, Step(step) if step else None, provider)


app.command()(train)
app.command(name="import")(import_model)
app.command()(batch)
app.command()(predict)
app.command()(explain)
app.command()(watch)
app.command()(deploy)
app.command()(template)
app.command()(destroy)
app.command()(logs)
app.command()(doctor)
app.command(name="api-key")(api_key)
app.command(name="audit")(audit)
app.command(name="signing-key")(signing_key)
app.command()(sign)
app.command()(verify)
app.command()(cost)
app.command()(bench)


@app.command()
def publish(
    artifact: Annotated[Path, typer.Argument(help="The artifact's folder, which contains manifest.json.")],
    store: StoreOption,
    alias: Annotated[str | None, typer.Option(help="Point this alias at the new version, e.g. prod.")] = None,
    sign: Annotated[
        str | None,
        typer.Option(
            envvar="HEARTH_SIGNING_KEY",
            help="Sign the version with this key: KEY.pem, or awskms:// followed by an ARN or alias/NAME.",
        ),
    ] = None,
) -> None:
    """Test an artifact in a separate process and copy it into a store. The manifest is written last."""
    from hearth_build.release.publish import publish as run

    signer = None
    if sign:
        from hearth_build.release.signing import load_signer

        signer = load_signer(sign)
    manifest = run(open_store(store), artifact, alias, signer)
    console.print(f"Published {manifest.model}@{manifest.version}" + (f" as {alias}" if alias else ""))
    if alias:
        following = f"hearth predict {manifest.model}@{alias} INPUT --store {store}"
    else:
        console.print(
            f"No alias points to this version yet: only {manifest.model}@{manifest.version} reaches it.",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
        following = f"hearth alias {manifest.model} prod {manifest.version} --store {store}"
    console.print(f"Next: {following}", highlight=False, markup=False, soft_wrap=True)


@app.command()
def models(
    store: StoreOption = ZOO.as_uri(),
    markdown: Annotated[bool, typer.Option(help="Print a Markdown table with quality, size and latency.")] = False,
) -> None:
    """List the models in a store."""
    from hearth_build.release.publish import list_versions

    versions, damaged = list_versions(open_store(store))
    for version in damaged:
        errors.print(f"error: {version.name}: {version.error}", markup=False, highlight=False, soft_wrap=True)
    if markdown:
        from hearth_build.pipeline.model_card import overview

        print(overview([version.manifest for version in versions]))
        return
    table = Table("model", "version", "task", "aliases", "MB")
    for version in versions:
        manifest = version.manifest
        aliases, megabytes = ", ".join(version.aliases), f"{manifest.size / 1e6:.1f}"
        table.add_row(manifest.model, manifest.version, manifest.task, aliases, megabytes)
    console.print(table)


@app.command()
def alias(
    name: Annotated[str, typer.Argument(help="The model's name.")],
    alias: Annotated[str, typer.Argument(help="A new or an existing alias, e.g. prod.")],
    version: Annotated[str, typer.Argument(help="A published version, e.g. 2.")],
    store: StoreOption,
) -> None:
    """Point an alias of a model at one of its versions."""
    from hearth_build.release.publish import set_alias

    set_alias(open_store(store), name, alias, version)
    console.print(f"{name}@{alias} is now version {version}")


@app.command()
def catalog(store: StoreOption) -> None:
    """Write the catalogue of a store anew, after its aliases were changed by other means than this command."""
    from hearth_build.release.catalog import rebuild

    entries = rebuild(open_store(store))
    console.print(f"{store} has {len(entries)} models with the alias prod", highlight=False, soft_wrap=True)


@app.command()
def evaluate(
    name: Annotated[str, typer.Argument(help="A model: name, name@version or name@alias.")],
    data: Annotated[Path, typer.Option(help="A file or folder in the format of the model's task.")],
    store: StoreOption = ZOO.as_uri(),
    task: Annotated[str, typer.Option(help="The task, if the model supports several, e.g. object-tracking.")] = "",
    column: Annotated[
        list[str] | None, typer.Option(help="ROLE=NAME: the column that has a role, e.g. label=Rating.")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Use only this many examples, from the start.", min=1)] = None,
) -> None:
    """Measure a model on your own data."""
    from hearth.models.cache import warm_cache
    from hearth.task_table import TASKS
    from hearth.tasks.task import open_model
    from hearth_build.pipeline.evaluation import evaluation_of, examples_from
    from hearth_build.release.served import tasks_of

    if task and task not in TASKS:
        raise typer.BadParameter(f"--task must be one of {', '.join(TASKS)}.")
    os.environ["HEARTH_STORE"] = store
    resolved = warm_cache().resolve(name)
    opened_task, lease = open_model(tasks_of(task or resolved.manifest.task), resolved, task)
    with lease as model:
        examples = examples_from(data, opened_task.id, parse_columns(column or []))[:limit]
        metrics = evaluation_of(opened_task.id).measure(model, examples)
    console.print(f"{model.manifest.model}@{model.manifest.version} on {len(examples)} examples of {data}")
    for name, value in metrics.items():
        console.print(f"{name:>24}  {value:.4f}", highlight=False)


@app.command()
def serve(
    store: StoreOption = ZOO.as_uri(),
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8000,
) -> None:
    """Serve all models of a store on a local HTTP server."""
    from hearth_build.cli.serve import serve as run

    run(store, host, port)


def main() -> None:
    """Run the command. Expected errors are printed to standard error as one sentence, with exit status 1."""
    prepare_process()
    from hearth_build.data.datasets import DataError
    from hearth_build.recipe import GateError, RecipeError

    try:
        app()
    except (HearthError, DataError, RecipeError, GateError, OSError) as error:
        errors.print(f"[red]error:[/red] {escape(str(error))}", highlight=False, soft_wrap=True)
        sys.exit(1)
    except ModuleNotFoundError as error:
        advice = f"Install it with the export extra: {install_command('export')}"
        errors.print(f"error: {error.name} is not installed. {advice}", markup=False, soft_wrap=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
