"""`hearth cost`."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import track

from hearth.errors import NotFound
from hearth.models.registry import Registry
from hearth.storage.open import open_store
from hearth.task_table import TASKS
from hearth_build import ZOO
from hearth_build.cli.options import JsonOption
from hearth_build.cli.output import print_json
from hearth_build.cli.suggestions import similar_models
from hearth_build.cloud.cost_model import (
    PRICES,
    Measurement,
    estimate_cost,
    make_event,
    markdown,
    measure,
    median_of,
    plot,
    processors_to_measure,
    read_prices,
)

console = Console()


def cost(
    name: Annotated[str | None, typer.Argument(help="A model: name, name@version or name@alias.")] = None,
    stack: Annotated[bool, typer.Option("--stack", help="The monthly price of the idle stack instead.")] = False,
    parameter: Annotated[
        list[str] | None, typer.Option(help="With --stack: a parameter of the template, NAME=VALUE.")
    ] = None,
    store: Annotated[
        str, typer.Option(envvar="HEARTH_STORE", help="s3://bucket/prefix or file:///path")
    ] = ZOO.as_uri(),
    value: Annotated[
        str | None,
        typer.Option("--input", help="A text, a JSON request or a file's path. Default: the first golden input."),
    ] = None,
    cold_rate: Annotated[float, typer.Option(help="Share of calls that are cold starts.", min=0, max=1)] = 0.01,
    latency: Annotated[float, typer.Option(help="Maximum milliseconds of a warm call.")] = float("inf"),
    arm64: Annotated[
        bool, typer.Option("--arm64", help="Use the price of arm64 (Graviton), with the times of this machine.")
    ] = False,
    prices: Annotated[Path, typer.Option(help="Your own prices: a changed copy of export/cloud/prices.toml.")] = PRICES,
    calls: Annotated[int, typer.Option(help="Warm calls to measure in each process.", min=1)] = 50,
    processes: Annotated[int, typer.Option(help="Processes per size; the output is their median.", min=1)] = 3,
    picture: Annotated[Path | None, typer.Option("--plot", help="Write a plot of the costs to this PNG file.")] = None,
    json: JsonOption = False,
) -> None:
    """Estimate the cost of a model on Lambda at each memory size, and when an always-on server is cheaper.

    With --stack, list what the stack costs in a month without a request.
    """
    price_table = read_prices(prices)
    if stack:
        _print_idle_cost(parameter or [], price_table, json)
        return
    if name is None:
        raise typer.BadParameter("Name a model, or use --stack.")
    registry = Registry(open_store(store))
    with similar_models(store, name):
        resolved = registry.resolve(name)
    ref, task = resolved.ref, resolved.manifest.task
    if value is not None:
        body, content_type = _request(value)
    else:
        body, content_type = _golden_request(registry, f"{ref.model}/{ref.version}/golden.json")
    event = make_event(f"/models/{name}", body, content_type)
    rounds = [(processors, number) for number in range(processes) for processors in processors_to_measure()]
    runs: dict[int, list[Measurement]] = {}
    for processors, _ in track(rounds, "Measuring", console=Console(stderr=True)):
        measurement = measure(event, TASKS[task].function, store, processors, calls)
        runs.setdefault(processors, []).append(measurement)
    measurements = {processors: median_of(measured) for processors, measured in runs.items()}
    architecture = "arm64" if arm64 else "x86_64"
    estimate = estimate_cost(
        measurements, price_table, architecture=architecture, cold_rate=cold_rate, max_warm_ms=latency
    )
    if picture:
        plot(estimate, f"{ref.model}@{ref.version}", picture)
    if json:
        print_json({"model": ref.model, "version": ref.version, "estimate": estimate})
        return
    console.print(f"{ref.model}@{ref.version}, {architecture}, {cold_rate:.1%} cold starts", highlight=False)
    print(markdown(estimate))
    if estimate.cheapest is None:
        console.print(f"No size handles a call within {latency:g} ms. Try a shorter input or a smaller model.")


def _print_idle_cost(parameters: list[str], prices: dict[str, Any], as_json: bool) -> None:
    from hearth_build.cloud.idle_cost import idle_items, markdown
    from hearth_build.cloud.parameters import DeployError, Template
    from hearth_build.cloud.sam_deploy import TEMPLATE

    template = Template.read(TEMPLATE)
    overrides = {name: value for name, _, value in (text.partition("=") for text in parameters)}
    if problems := list(template.problems(overrides, {})):
        raise DeployError("\n".join(problems))
    items = idle_items(template.values(overrides, {}), template.alarm_metrics, prices)
    if as_json:
        print_json(items)
    else:
        print(markdown(items))


def _request(value: str) -> tuple[bytes, str]:
    """Body and content type of a request with this input."""
    if value.startswith("{"):
        return value.encode(), "application/json"
    if Path(value).is_file():
        return Path(value).read_bytes(), "application/octet-stream"
    return json.dumps({"inputs": value}).encode(), "application/json"


def _golden_request(registry: Registry, path: str) -> tuple[bytes, str]:
    try:
        inputs = json.loads(registry.store.get(path))["cases"][0]["inputs"]
    except NotFound:
        raise NotFound("This artifact has no golden inputs. Pass an input with --input") from None
    if isinstance(inputs, dict) and set(inputs) == {"base64"}:
        return base64.b64decode(inputs["base64"]), "application/octet-stream"
    return json.dumps({"inputs": inputs}).encode(), "application/json"
