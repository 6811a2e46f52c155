"""`hearth explain`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from hearth.errors import BadRequest
from hearth.tasks.schema import ExplainOptions, Explanation
from hearth.tasks.task import with_explanation
from hearth_build import ZOO
from hearth_build.cli.explanation_plot import PLOTS
from hearth_build.cli.options import JsonOption, ModelArgument, StoreOption, TaskOption
from hearth_build.cli.output import aligned, print_json
from hearth_build.cli.predict import InputArgument, ParametersOption, predict_one

console = Console()
COLOURS = {True: "red", False: "blue"}
"""Whether a part raises the score -> its colour, as in the pictures."""
LISTED = 5
"""Parts that are printed, those that change the score most."""


def explain(
    name: ModelArgument,
    value: InputArgument,
    store: StoreOption = ZOO.as_uri(),
    task: TaskOption = "",
    parameters: ParametersOption = None,
    target: Annotated[
        str | None,
        typer.Option(
            help="What to explain: a label, a word of a written answer, the number of a text from 0. Default: the best "
            "label, the whole answer."
        ),
    ] = None,
    runs: Annotated[
        int | None, typer.Option(help="Largest number of parts to score; more show finer parts.", min=4, max=5000)
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            help="Draw the parts that made the score into this file: on the picture, on the waveform, as bars of "
            "columns, or source words by written words."
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Show what made a model's score: words of a text, tiles of a picture, seconds of a recording or columns of a
    row."""
    options = ExplainOptions(target, runs)
    opened, request, prediction = predict_one(
        store, name, value, task, parameters, lambda opened, request: with_explanation(opened, request, options)
    )
    explained = prediction.output
    if json:
        print_json(explained)
        return
    explanation: Explanation = explained.explanation
    console.print(
        f"{explanation.target}: {explanation.measure} {explanation.score:.3f}; without any of these parts "
        f"{explanation.base_score:.3f} ({explanation.runs} runs, {explanation.method})",
        highlight=False,
    )
    kind = opened.row.parts or ""
    draw = PLOTS.get("written" if explanation.outputs and kind == "words" else kind)
    if plot is not None and draw is None:
        raise BadRequest("--plot does not draw the words of a text; they are shown in the terminal")
    VIEWS[kind](explanation, request.inputs)
    for word in explanation.outputs:
        causes = sorted(zip(word.values, explanation.parts, strict=True), key=lambda pair: -pair[0])[:3]
        shown = ", ".join(f"{caption(part)} {value:+.2f}" for value, part in causes if value > 0)
        console.print(f"{word.text}  <- {shown}", highlight=False, markup=False)
    if plot is not None and draw is not None:
        draw(explanation, request.inputs, plot)
        console.print(f"Wrote {plot}", highlight=False)


def print_words(explanation: Explanation, inputs: Any) -> None:
    """Print each text with its words coloured by what they add to the score."""
    words: Sequence[Any] = explanation.parts
    for field in dict.fromkeys(word.field for word in words):
        text = _text(inputs, field, explanation.target)
        heading = f"{field}: " if field else ""
        console.print(Text(heading), coloured(text, [word for word in words if word.field == field], words))
    for word in strongest(words):
        console.print(f"{word.value:+.3f}  {word.text}", highlight=False, markup=False)


def _text(inputs: Any, field: str, target: str) -> str:
    """The text of a field of `inputs`; where it has several, that with the number `target`."""
    value = getattr(inputs, field) if field else inputs
    if isinstance(value, list):
        return str(value[int(target)] if field else value[0])
    return str(value)


def coloured(text: str, words: Sequence[Any], others: Sequence[Any]) -> Text:
    """The text with its words coloured, in comparison with `others`."""
    styled = Text(text)
    largest = max((abs(word.value) for word in others), default=0) or 1
    for word in words:
        strength = abs(word.value) / largest
        if strength >= 0.15:
            weight = "bold " if strength >= 0.5 else ""
            styled.stylize(f"{weight}{COLOURS[word.value > 0]}", word.start, word.end)
    return styled


def strongest(parts: Sequence[Any]) -> list[Any]:
    return sorted(parts, key=lambda part: -abs(part.value))[:LISTED]


def print_parts(explanation: Explanation, inputs: Any) -> None:
    """Print the parts that change the score most."""
    for part in strongest(explanation.parts):
        console.print(f"{part.value:+.3f}  {caption(part)}", highlight=False)
    console.print("Draw all of them with --plot FILE.png", highlight=False)


def print_columns(explanation: Explanation, inputs: Any) -> None:
    """Print all columns, those that change the score most first."""
    parts: Sequence[Any] = sorted(explanation.parts, key=lambda part: -abs(part.value))
    rows = [[f"{part.value:+.4g}", part.column, f"{part.content}"] for part in parts]
    for line in aligned(rows):
        console.print(line, highlight=False, markup=False)


def caption(part: Any) -> str:
    """The name of a part."""
    if hasattr(part, "box"):
        return f"x {part.box.xmin} to {part.box.xmax}, y {part.box.ymin} to {part.box.ymax}"
    return part.text if hasattr(part, "text") else f"{part.start:.2f} to {part.end:.2f} s"


VIEWS: dict[str, Callable[[Explanation, Any], None]] = {
    "words": print_words,
    "tiles": print_parts,
    "segments": print_parts,
    "columns": print_columns,
}
"""By the `parts` of the task."""
