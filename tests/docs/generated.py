"""The tables that documents derive from the code, by the name that stands in `<!-- table: NAME -->`."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import typer
import yaml

from hearth.protocols.router import protocols
from hearth.storage.open import open_store
from hearth.task_table import TASKS
from hearth.telemetry.metric_table import METRICS
from hearth_build import ZOO
from hearth_build.cli.main import app
from hearth_build.cli.serve import tasks
from hearth_build.cloud.cost_model import PRICES, read_prices
from hearth_build.cloud.idle_cost import idle_items, markdown
from hearth_build.cloud.parameters import Template
from hearth_build.cloud.sam_deploy import TEMPLATE
from hearth_build.pipeline.evaluation import evaluation_of
from hearth_build.pipeline.model_card import overview
from hearth_build.release.versions import list_versions
from tests.benchmarks.runner import RESULTS
from tests.support import ROOT


def rows(titles: str, cells: Sequence[Sequence[str]], alignment: str = "") -> str:
    """A Markdown table; `titles` are separated by |."""
    names = titles.split("|")
    lines = [f"| {' | '.join(names)} |", f"|{alignment or '---|' * len(names)}"]
    lines += [f"| {' | '.join(row)} |" for row in cells]
    return "\n".join(lines) + "\n"


def zoo_models() -> str:
    return overview([version.manifest for version in list_versions(open_store(ZOO.as_uri()))[0]]) + "\n"


def evaluations() -> str:
    """The data that `hearth evaluate` reads, by task."""
    cells = []
    for row in TASKS.values():
        evaluation = evaluation_of(row.id)
        cells.append([f"`{row.id}`", evaluation.metric, evaluation.data_format])
    return rows("task|metric|data", cells)


def routes() -> str:
    cells = []
    for protocol in protocols():
        for route in protocol.routes:
            cells.append([protocol.title, f"`{route.method} {route.path}`", route.summary])
    return rows("protocol|route|what it does", cells)


def task_functions() -> str:
    """The task table itself."""
    examples = {task.id: task for task in tasks()}
    cells = []
    for row in TASKS.values():
        others = ", ".join(f"`{other}`" for other in row.models_of)
        stream = "yes" if examples[row.id].stream else ""
        cells.append([f"`{row.id}`", f"`functions/{row.function}`", row.input, others, stream])
    return rows("task|function|input|also answers for models of|streams", cells)


def explanations() -> str:
    """What explanations of each task are of, and what they give values to."""
    cells = [[f"`{row.id}`", PARTS[row.parts], EXPLAINED[row.comparison]] for row in TASKS.values() if row.parts]
    return rows("task|parts|score", cells)


PARTS = {
    "words": "words (`text`, `start`, `end`, and `field` where there are several texts)",
    "tiles": "tiles (`box`)",
    "segments": "segments (`start`, `end` in seconds)",
    "columns": "columns (`column`, `content`)",
}
EXPLAINED = {
    "scores": "score of a label",
    "token_labels": "score of an entity; `target`: its text",
    "word_guesses": "score of a token in the place of the mask; `target`: the token",
    "answer": "score of an answer; `target`: its text",
    "vectors": "similarity of a sentence with the source sentence; `target`: its number, from 0",
    "ranking": "score of a text; `target`: its number, from 0",
    "written_text": "log-probability of the text and of each word; `target`: a word",
    "boxes": "score of a box times the overlap with it; `target`: a label",
    "transcript": "log-probability of the transcript and of each word; `target`: a word",
    "table_scores": "score of a label",
    "table": "the number; `target`: its place from 0, for several numbers",
}


def task_parameters() -> str:
    """The parameters that a request of each task takes, required ones in bold."""
    cells = []
    for task in tasks():
        request = msgspec.inspect.type_info(task.request)
        assert isinstance(request, msgspec.inspect.StructType)
        kinds = [field.type for field in request.fields if field.name == "parameters"]
        kinds = [kind for one in kinds for kind in getattr(one, "types", (one,))]
        fields = [field for kind in kinds for field in getattr(kind, "fields", ())]
        names = [f"**`{field.encode_name}`**" if field.required else f"`{field.encode_name}`" for field in fields]
        cells.append([f"`{task.id}`", ", ".join(names)])
    return rows("task|parameters", sorted(cells))


def template_parameters() -> str:
    """The parameters of template.yaml."""

    class Loader(yaml.SafeLoader):
        pass

    Loader.add_multi_constructor("!", lambda loader, suffix, node: None)
    template = yaml.load((ROOT / "template.yaml").read_text(encoding="utf-8"), Loader)
    cells = []
    for name, parameter in template["Parameters"].items():
        default = parameter.get("Default", "")
        shown = f"`{default}`" if str(default) else ""
        cells.append([f"`{name}`", shown, " ".join(str(parameter.get("Description", "")).split())])
    return rows("parameter|default|meaning", cells)


def metrics() -> str:
    """What `GET /metrics` has, and what CloudWatch has of it."""
    cells = [
        [f"`{metric.name}`", metric.kind, metric.description, ", ".join(metric.labels), metric.cloudwatch]
        for metric in METRICS.values()
    ]
    return rows("metric|kind|meaning|labels|in CloudWatch", cells)


def idle_cost() -> str:
    """What the stack costs in a month without a request, with the template's defaults."""
    template = Template.read(TEMPLATE)
    return markdown(idle_items(template.values({}, {}), template.alarm_metrics, read_prices(PRICES))) + "\n"


def benchmarks() -> str:
    return (RESULTS / "summary.md").read_text(encoding="utf-8").replace("](", "](../tests/benchmarks/results/")


def first_paint() -> str:
    """What the last run of `python -m tests.browser.first_paint` recorded."""
    recorded = json.loads((ROOT / "tests/browser/first_paint.json").read_text(encoding="utf-8"))
    cells = [
        [page, f"{one['requests']}", f"{one['bytes'] / 1000:.0f}", f"{one['first paint']}", f"{one['ready']}"]
        for page, one in recorded.items()
    ]
    return rows(
        "first visit|requests|kB|ms to the first paint|ms until it can be used", cells, "---|---:|---:|---:|---:|"
    )


def clients() -> str:
    """The summary of the last run of `python -m tests.clients.matrix`."""
    text = (ROOT / "tests/clients/matrix.md").read_text(encoding="utf-8")
    return text[text.index("| client ") :].split("\n\n")[0] + "\n"


def commands() -> str:
    """Every command with its arguments and options, as `--help` prints them."""
    group: Any = typer.main.get_command(app)
    context = group.make_context("hearth", [], resilient_parsing=True)
    sections = []
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        cells = [_parameter(parameter) for parameter in command.params if parameter.name != "help"]
        text = " ".join(str(command.help).split())
        sections.append(f"### hearth {name}\n\n{text}\n\n" + rows("argument or option|default|meaning", cells))
    return "\n" + "\n".join(sections) + "\n"


def _parameter(parameter: Any) -> list[str]:
    is_option = parameter.param_type_name == "option"
    name = (
        " ".join(parameter.opts + parameter.secondary_opts)
        if is_option
        else parameter.metavar or parameter.name.upper()
    )
    default = parameter.default
    if default in (None, "", False, (), []):
        shown = "required" if parameter.required else ""
    else:
        shown = f"`{default}`".replace(ZOO.as_uri(), "the models of export/zoo").replace(f"{ROOT}/", "")
    if parameter.envvar:
        shown = f"{shown} or `{parameter.envvar}`" if shown else f"`{parameter.envvar}`"
    return [f"`{name}`", shown, " ".join(str(parameter.help or "").split()).replace("|", "\\|")]


TABLES: dict[str, Callable[[], str]] = {
    "zoo": zoo_models,
    "evaluations": evaluations,
    "routes": routes,
    "commands": commands,
    "tasks": task_functions,
    "task-parameters": task_parameters,
    "explanations": explanations,
    "template-parameters": template_parameters,
    "metrics": metrics,
    "idle-cost": idle_cost,
    "benchmarks": benchmarks,
    "clients": clients,
    "first-paint": first_paint,
}
