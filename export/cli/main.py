"""The `hearth` command. What needs torch is imported by `build` alone, so that the rest works without it."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
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
from hearth_build.cli.cost import cost_of
from hearth_build.cli.deploy import deploy
from hearth_build.cli.doctor import doctor
from hearth_build.cli.import_onnx import import_onnx
from hearth_build.cli.signing import sign, signing_key, verify

app = typer.Typer(help="Hearth: AI models from serverless functions.", no_args_is_help=True, add_completion=False)
console = Console()
StoreOption = Annotated[str, typer.Option(envvar="HEARTH_STORE", help="s3://bucket/prefix or file:///path")]


@app.command()
def build(
    recipe: Annotated[str | None, typer.Argument(help="A recipe's name; without one, they are listed.")] = None,
    from_checkpoint: Annotated[
        Path | None, typer.Option(help="A Hugging Face folder, to import instead of a recipe.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="The imported model's name.")] = None,
    step: Annotated[str | None, typer.Option(help="prepare, train, export, quantize or verify alone.")] = None,
    work: Annotated[Path | None, typer.Option(help="Where steps leave their work. Default: build/NAME.")] = None,
    provider: Annotated[
        Provider, typer.Option(help="Measure this execution provider too, and take it where it is faster and as good.")
    ] = "cpu",
) -> None:
    """Make an artifact: prepare, train, export, quantize, verify. Run again, it goes on where it stopped."""
    from hearth_build import recipe as recipes
    from hearth_build.pipeline.build import Step
    from hearth_build.pipeline.build import build as run

    if from_checkpoint:
        from hearth_build.checkpoints import load

        made = load(from_checkpoint, name)
    elif recipe:
        made = recipes.load(recipe)
    else:
        raise typer.BadParameter(f"Name a recipe: {', '.join(recipes.names())}; or --from-checkpoint DIR.")
    if step is not None and step not in list(Step):
        raise typer.BadParameter(f"--step is one of {', '.join(Step)}.")
    command = shlex.join(["hearth", *sys.argv[1:]])
    run(made, work or Path("build") / made.name, command, Step(step) if step else None, provider)


app.command(name="import")(import_onnx)
app.command()(batch)
app.command()(deploy)
app.command()(doctor)
app.command(name="api-key")(api_key)
app.command(name="audit")(audit)
app.command(name="signing-key")(signing_key)
app.command()(sign)
app.command()(verify)
app.command(name="cost")(cost_of)
app.command()(bench)


@app.command()
def publish(
    artifact: Annotated[Path, typer.Argument(help="The folder with manifest.json.")],
    store: StoreOption,
    alias: Annotated[str | None, typer.Option(help="Point this alias at the new version, e.g. prod.")] = None,
    sign: Annotated[
        str | None, typer.Option(envvar="HEARTH_SIGNING_KEY", help="KEY.pem, or awskms:// and an ARN or alias/NAME.")
    ] = None,
) -> None:
    """Try an artifact out in a process of its own, sign it, and copy it into a store; its manifest arrives last."""
    from hearth_build.release.publish import publish as run

    by = None
    if sign:
        from hearth_build.release.signing import signer

        by = signer(sign)
    manifest = run(open_store(store), artifact, alias, by)
    console.print(f"Published {manifest.model}@{manifest.version}" + (f" as {alias}" if alias else ""))


@app.command()
def models(
    store: StoreOption = ZOO.as_uri(),
    markdown: Annotated[bool, typer.Option(help="A Markdown table with quality, size and time of each model.")] = False,
) -> None:
    """What a store holds."""
    from hearth_build.release.publish import listing

    held = listing(open_store(store))
    if markdown:
        from hearth_build.pipeline.model_card import overview

        print(overview([row.manifest for row in held]))
        return
    table = Table("model", "version", "task", "aliases", "MB")
    for row in held:
        made = row.manifest
        table.add_row(made.model, made.version, made.task, ", ".join(row.aliases), f"{made.size / 1e6:.1f}")
    console.print(table)


@app.command()
def alias(name: str, alias: str, version: str, store: StoreOption) -> None:
    """Point an alias of a model at one of its versions."""
    from hearth_build.release.publish import set_alias

    set_alias(open_store(store), name, alias, version)
    console.print(f"{name}@{alias} is now version {version}")


@app.command()
def predict(
    name: Annotated[str, typer.Argument(help="A model: name, name@version or name@alias.")],
    value: Annotated[str, typer.Argument(metavar="INPUT", help="A text, a JSON request, or a file's path.")],
    store: StoreOption = ZOO.as_uri(),
    task: Annotated[str, typer.Option(help="Where the model answers several, e.g. object-tracking.")] = "",
    parameters: Annotated[str, typer.Option(help="As JSON, e.g. '{\"top_k\": 3}'.")] = "{}",
) -> None:
    """One answer as JSON, from the function that serves the model."""
    import msgspec

    from hearth import strict_json
    from hearth.models.cache import warm_cache
    from hearth.task_table import TASKS
    from hearth.tasks.payload import read_body
    from hearth.tasks.task import open_model
    from hearth_build.release.served import tasks_of

    if task and task not in TASKS:
        raise typer.BadParameter(f"--task is one of {', '.join(TASKS)}.")
    os.environ["HEARTH_STORE"] = store
    with _logging_to_stderr():
        resolved = warm_cache().resolve(name)
        chosen, lease = open_model(tasks_of(task or resolved.manifest.task), resolved, task)
        document = strict_json.loads(parameters.encode())
        if value.startswith("{"):
            request = read_body(chosen, value.encode(), {})
        elif chosen.row.binary:
            request = strict_json.convert({"inputs": Path(value).read_bytes(), "parameters": document}, chosen.request)
        else:
            request = strict_json.convert({"inputs": value, "parameters": document}, chosen.request)
        with lease as model:
            prediction = chosen.predict(model, request)
    print(msgspec.json.format(msgspec.json.encode(prediction.output), indent=2).decode())


@app.command()
def evaluate(
    name: Annotated[str, typer.Argument(help="A model: name, name@version or name@alias.")],
    data: Annotated[Path, typer.Option(help="A file or folder in the form that the model's task reads.")],
    store: StoreOption = ZOO.as_uri(),
    task: Annotated[str, typer.Option(help="Where the model answers several, e.g. object-tracking.")] = "",
    limit: Annotated[int | None, typer.Option(help="The first so many examples only.", min=1)] = None,
) -> None:
    """Measure a model on data of your own."""
    from hearth.models.cache import warm_cache
    from hearth.task_table import TASKS
    from hearth.tasks.task import open_model
    from hearth_build.pipeline.evaluation import evaluation_of, examples_from
    from hearth_build.release.served import tasks_of

    if task and task not in TASKS:
        raise typer.BadParameter(f"--task is one of {', '.join(TASKS)}.")
    os.environ["HEARTH_STORE"] = store
    resolved = warm_cache().resolve(name)
    chosen, lease = open_model(tasks_of(task or resolved.manifest.task), resolved, task)
    with lease as model:
        examples = examples_from(data, chosen.id)[:limit]
        found = evaluation_of(chosen.id).measure(model, examples)
    console.print(f"{model.manifest.model}@{model.manifest.version} on {len(examples)} examples of {data}")
    for metric, measured in found.items():
        console.print(f"{metric:>24}  {measured:.4f}", highlight=False)


@app.command()
def serve(
    store: StoreOption = ZOO.as_uri(),
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8000,
) -> None:
    """Every function behind one local server."""
    from hearth_build.cli.serve import serve as run

    run(store, host, port)


@contextmanager
def _logging_to_stderr() -> Iterator[None]:
    """The answer alone goes to standard output."""
    from hearth.telemetry.log import HANDLER

    HANDLER.stream = sys.stderr
    try:
        yield
    finally:
        HANDLER.stream = None


def main() -> None:
    """Errors that say what to do go to standard error as one sentence; the exit status is 1."""
    prepare_process()
    from hearth_build.data.datasets import DataError
    from hearth_build.recipe import Gated, RecipeError

    try:
        app()
    except (HearthError, DataError, RecipeError, Gated, OSError) as error:
        Console(stderr=True).print(f"[red]error:[/red] {escape(str(error))}", highlight=False)
        sys.exit(1)
    except ModuleNotFoundError as error:
        advice = "Install the export extra: pip install 'hearth-serverless[export]'"
        Console(stderr=True).print(f"error: {error.name} is not installed. {advice}", markup=False)
        sys.exit(1)


if __name__ == "__main__":
    main()
