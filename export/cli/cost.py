"""`hearth cost`: cost.py with a progress bar."""

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
from hearth_build.cloud.cost_model import (
    PRICES,
    cost,
    event_of,
    measure,
    median_of,
    plot,
    prices_of,
    processors_to_measure,
    table,
)

console = Console()


def cost_of(
    name: Annotated[str, typer.Argument(help="A model: name, name@version or name@alias.")],
    store: Annotated[
        str, typer.Option(envvar="HEARTH_STORE", help="s3://bucket/prefix or file:///path")
    ] = ZOO.as_uri(),
    value: Annotated[
        str | None,
        typer.Option("--input", help="A text, JSON, or a file's path. Default: the first golden input."),
    ] = None,
    cold_rate: Annotated[float, typer.Option(help="Share of calls that meet a cold start.", min=0, max=1)] = 0.01,
    latency: Annotated[float, typer.Option(help="Milliseconds that a warm answer may take.")] = float("inf"),
    arm64: Annotated[bool, typer.Option("--arm64", help="With Graviton's price, and this machine's times.")] = False,
    prices: Annotated[Path, typer.Option(help="A copy of export/cloud/prices.toml with prices of your own.")] = PRICES,
    calls: Annotated[int, typer.Option(help="Warm calls in each process.", min=1)] = 50,
    processes: Annotated[int, typer.Option(help="Processes for each size; medians are told.", min=1)] = 3,
    picture: Annotated[Path | None, typer.Option("--plot", help="Where to draw the costs, as PNG.")] = None,
) -> None:
    """What a model costs on Lambda by memory size, and from how many calls on a server is cheaper."""
    chosen = prices_of(prices)
    registry = Registry(open_store(store))
    resolved = registry.resolve(name)
    ref, task = resolved.ref, resolved.manifest.task
    body, media = _request(value) if value is not None else _golden(registry, f"{ref.model}/{ref.version}/golden.json")
    event = event_of(f"/models/{name}", body, media)
    rounds = [(number, each) for each in range(processes) for number in processors_to_measure()]
    runs: dict[int, list[Any]] = {}
    for number, _ in track(rounds, "Measuring", console=Console(stderr=True)):
        runs.setdefault(number, []).append(measure(event, TASKS[task].function, store, number, calls))
    measured = {number: median_of(each) for number, each in runs.items()}
    architecture = "arm64" if arm64 else "x86_64"
    found = cost(measured, chosen, architecture=architecture, cold_rate=cold_rate, bound_ms=latency)
    console.print(f"{ref.model}@{ref.version}, {architecture}, {cold_rate:.1%} of calls cold", highlight=False)
    print(table(found))
    if found.cheapest is None:
        console.print(f"No size answers within {latency:g} ms; ask for less at once, or choose a smaller model.")
    if picture:
        plot(found, f"{ref.model}@{ref.version}", picture)


def _request(value: str) -> tuple[bytes, str]:
    if value.startswith("{"):
        return value.encode(), "application/json"
    if Path(value).is_file():
        return Path(value).read_bytes(), "application/octet-stream"
    return json.dumps({"inputs": value}).encode(), "application/json"


def _golden(registry: Registry, path: str) -> tuple[bytes, str]:
    try:
        inputs = json.loads(registry.store.get(path))["cases"][0]["inputs"]
    except NotFound:
        raise NotFound("This artifact has no golden inputs: name one by --input") from None
    if isinstance(inputs, dict) and set(inputs) == {"base64"}:
        return base64.b64decode(inputs["base64"]), "application/octet-stream"
    return json.dumps({"inputs": inputs}).encode(), "application/json"
