"""`hearth explain`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from hearth.errors import BadRequest
from hearth.tasks.schema import ExplainOptions, Explanation
from hearth.tasks.task import with_explanation
from hearth_build import ZOO
from hearth_build.cli.options import JsonOption, ModelArgument, StoreOption, TaskOption
from hearth_build.cli.output import print_json
from hearth_build.cli.predict import InputArgument, ParametersOption, predict_one

console = Console()
COLOURS = {True: "red", False: "blue"}
"""Whether a part raises the score -> its colour, as in the pictures."""


def explain(
    name: ModelArgument,
    value: InputArgument,
    store: StoreOption = ZOO.as_uri(),
    task: TaskOption = "",
    parameters: ParametersOption = None,
    target: Annotated[str | None, typer.Option(help="The label to explain. Default: the best one.")] = None,
    runs: Annotated[
        int | None, typer.Option(help="Largest number of parts to score; more show finer parts.", min=4, max=1000)
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="For a picture: draw the parts that made the score into this file.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Show which words of a text, or which tiles of a picture, made a model's score."""
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
        f"{explanation.target}: {explanation.score:.3f}; without any of these parts {explanation.base_score:.3f} "
        f"({explanation.runs} runs)",
        highlight=False,
    )
    (inputs,) = request.inputs if isinstance(request.inputs, list) else (request.inputs,)
    if opened.row.input == "text":
        console.print(coloured(inputs, explanation.parts))
    elif plot is None:
        print_tiles(explanation.parts)
    if plot is not None:
        if opened.row.input != "image":
            raise BadRequest("--plot draws pictures; the words of a text are shown in the terminal")
        heat_map(inputs, explanation.parts, plot)
        console.print(f"Wrote {plot}", highlight=False)


def coloured(text: str, words: Any) -> Text:
    """The text with each word coloured by what it adds to the score."""
    styled = Text(text)
    largest = max((abs(word.value) for word in words), default=0) or 1
    for word in words:
        strength = abs(word.value) / largest
        if strength >= 0.15:
            weight = "bold " if strength >= 0.5 else ""
            styled.stylize(f"{weight}{COLOURS[word.value > 0]}", word.start, word.end)
    for word in sorted(words, key=lambda word: -abs(word.value))[:5]:
        styled.append(f"\n{word.value:+.3f}  {word.text}")
    return styled


def print_tiles(tiles: Any) -> None:
    """Print the five tiles that add most to the score."""
    for tile in sorted(tiles, key=lambda tile: -tile.value)[:5]:
        box = tile.box
        console.print(f"{tile.value:+.3f}  x {box.xmin} to {box.xmax}, y {box.ymin} to {box.ymax}", highlight=False)
    console.print("Draw all of them with --plot FILE.png", highlight=False)


def heat_map(picture: bytes, tiles: Any, path: Path) -> None:
    """Draw the picture in grey; tiles that raise the score are red, those that lower it blue."""
    import numpy as np
    from PIL import Image

    from hearth.ops.vision.images import MAX_PIXELS, open_image

    original = open_image(picture, MAX_PIXELS)
    canvas = np.asarray(original.convert("L").convert("RGB")).astype(np.float32)
    largest = max((abs(tile.value) for tile in tiles), default=0) or 1
    for tile in tiles:
        box, strength = tile.box, abs(tile.value) / largest
        colour = np.array([255, 40, 40] if tile.value > 0 else [40, 40, 255], np.float32)
        area = canvas[box.ymin : box.ymax, box.xmin : box.xmax]
        area += (colour - area) * 0.7 * strength
    Image.fromarray(canvas.round().astype(np.uint8)).save(path)
