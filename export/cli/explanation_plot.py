"""Draws explanations: red raises the score, blue lowers it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hearth.tasks.schema import Explanation

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RED, BLUE = (255, 40, 40), (40, 40, 255)
FOR, AGAINST = "#d62728", "#1f5fd6"
MAX_SECONDS = 600.0
RATE = 16_000


def tiles(explanation: Explanation, inputs: Any, path: Path) -> None:
    """The picture in grey with coloured tiles."""
    from PIL import Image

    from hearth.ops.vision.images import MAX_PIXELS, open_image

    (picture,) = inputs if isinstance(inputs, list) else (inputs,)
    canvas = np.asarray(open_image(picture, MAX_PIXELS).convert("L").convert("RGB")).astype(np.float32)
    parts: Any = explanation.parts
    largest = max((abs(tile.value) for tile in parts), default=0) or 1
    for tile in parts:
        box, strength = tile.box, abs(tile.value) / largest
        colour = np.array(RED if tile.value > 0 else BLUE, np.float32)
        area = canvas[box.ymin : box.ymax, box.xmin : box.xmax]
        area += (colour - area) * 0.7 * strength
    Image.fromarray(canvas.round().astype(np.uint8)).save(path)


def segments(explanation: Explanation, inputs: Any, path: Path) -> None:
    """The waveform over a row of coloured segments for the transcript and for each of its words."""
    from hearth.tasks.audio_file import read_audio

    samples = read_audio(inputs, RATE, MAX_SECONDS)
    parts: Any = explanation.parts
    edges = [*(part.start for part in parts), parts[-1].end]
    names = ["all", *(word.text for word in explanation.outputs)]
    values = [[part.value for part in parts], *(word.values for word in explanation.outputs)]
    figure = _figure(10, 2 + 0.35 * len(names))
    wave, map_ = figure.subplots(2, 1, sharex=True, height_ratios=[2, max(1, 0.6 * len(names))])
    step = max(1, len(samples) // 4000)
    wave.plot(np.arange(0, len(samples), step) / RATE, samples[::step], color="#555", linewidth=0.5)
    wave.set_yticks([])
    _heat(map_, edges, names, np.array(values, float))
    map_.set_xlabel("seconds")
    _save(figure, path)


def columns(explanation: Explanation, inputs: Any, path: Path) -> None:
    """A bar for each column, the largest on top, with its error."""
    parts: Any = sorted(explanation.parts, key=lambda part: abs(part.value))
    figure = _figure(8, 1.2 + 0.35 * len(parts))
    axes = figure.subplots()
    colours = [FOR if part.value > 0 else AGAINST for part in parts]
    names = [f"{part.column} = {part.content}" for part in parts]
    axes.barh(names, [part.value for part in parts], xerr=[part.error for part in parts], color=colours)
    axes.axvline(0, color="#555", linewidth=0.8)
    whole = "the number" if explanation.target == "number" else f"the {explanation.measure} of {explanation.target}"
    axes.set_xlabel(f"what it adds to {whole}: from {explanation.base_score:.4g} to {explanation.score:.4g}")
    _save(figure, path)


def written(explanation: Explanation, inputs: Any, path: Path) -> None:
    """The words of the source by the words of the written text."""
    parts: Any = explanation.parts
    names = [word.text for word in explanation.outputs]
    figure = _figure(2 + 0.5 * len(parts), 1.5 + 0.4 * len(names))
    axes = figure.subplots()
    edges = list(range(len(parts) + 1))
    _heat(axes, edges, names, np.array([word.values for word in explanation.outputs], float))
    axes.set_xticks(np.arange(len(parts)) + 0.5, [part.text for part in parts], rotation=45, ha="right")
    _save(figure, path)


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _heat(axes: Any, edges: Any, names: Any, values: np.ndarray[Any, Any]) -> None:
    """A row of coloured cells for each name; each row has its own scale. `values`: (names, cells)."""
    scaled = values / np.maximum(np.abs(values).max(1, keepdims=True), 1e-9)
    axes.pcolormesh(edges, np.arange(len(names) + 1), scaled, cmap="bwr", vmin=-1, vmax=1)
    axes.set_yticks(np.arange(len(names)) + 0.5, names)
    axes.invert_yaxis()


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path, dpi=120)


PLOTS: dict[str, Callable[[Explanation, Any, Path], None]] = {
    "tiles": tiles,
    "segments": segments,
    "columns": columns,
    "written": written,
}
"""By the `parts` of the task; `written`: of the words of a written text."""
