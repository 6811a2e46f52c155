"""Growth: time of an item and memory of a process, by how much there is to do.

Processor time of all threads, in a fresh process per measurement. Ratios compare the time of one item: 1 is linear.
Memory should grow only by what the response itself holds: 16 kB of keys and values per token, the annotated film.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tests.benchmarks import table
from tests.benchmarks.area import ROOT, Case, Figures, Missing, Turn, Way

if TYPE_CHECKING:
    from tests.benchmarks.runner import CaseResult

FILM = (640, 480)


@dataclass(frozen=True)
class Kind:
    name: str
    """Key of KINDS in engines/grown.py."""
    sizes: tuple[int, int, int]
    aim: float
    """Maximum ratio of an item's time at the largest size to that at the middle size."""


KINDS = {
    "video frames": Kind("video", (8, 100, 400), 1.15),
    "generated tokens": Kind("tokens", (64, 256, 960), 1.6),
    "batch items": Kind("batch", (100, 400, 1600), 1.15),
    "models in a cache": Kind("models", (10, 40, 160), 1.15),
    "keys of a listing": Kind("listing", (2_000, 20_000, 200_000), 1.15),
}


def cases(work: Path) -> Sequence[Case]:
    return [_case(name, kind, work / kind.name) for name, kind in KINDS.items()]


def _case(name: str, kind: Kind, folder: Path) -> Case:
    small, middle, large = (f"Hearth, {size}" for size in kind.sizes)
    sizes = dict(zip((small, middle, large), kind.sizes, strict=True))
    ways = [Way(way, partial(_fresh, kind.name, sizes[way], folder)) for way in (large, middle, small)]
    return Case(name, ways, middle, kind.aim, figure="per_item_ms", limit="1.0 is linear")


@contextmanager
def _fresh(kind: str, size: int, folder: Path) -> Iterator[Turn]:
    if not folder.exists():
        partial_folder = folder.with_suffix(".partial")
        partial_folder.mkdir(parents=True)
        MAKERS[kind](partial_folder)
        partial_folder.rename(folder)

    def turn() -> Figures:
        command = [sys.executable, "-m", "tests.benchmarks.engines.grown", kind, str(size), str(folder)]
        process = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
        if process.returncode:
            raise Missing(process.stderr.strip().splitlines()[-1][:200])
        figures: Figures = json.loads(process.stdout.splitlines()[-1])
        return figures

    yield turn


def _make_video(folder: Path) -> None:
    from tests.functions.films import HEIGHT, WIDTH, frames, make_squares, make_video

    make_squares(folder)
    columns, rows = np.arange(FILM[0]) * WIDTH // FILM[0], np.arange(FILM[1]) * HEIGHT // FILM[1]
    for count in KINDS["video frames"].sizes:
        (folder / f"{count}.mp4").write_bytes(make_video([small[rows][:, columns] for small in frames(count)], rate=25))


def _make_tokens(folder: Path) -> None:
    from tests.benchmarks import random_gpt

    random_gpt.make(folder)


def _make_texts(folder: Path) -> None:
    from tests.benchmarks.engines.grown import make_texts

    make_texts(folder, KINDS["batch items"].sizes[-1], KINDS["models in a cache"].sizes[-1])


MAKERS: dict[str, Callable[[Path], None]] = {
    "video": _make_video,
    "tokens": _make_tokens,
    "batch": _make_texts,
    "models": _make_texts,
    "listing": lambda folder: None,
}


def report(folder: Path, results: Sequence[CaseResult]) -> str:
    _plot(results, folder / "growth.png")
    return table.render(results)


def _plot(results: Sequence[CaseResult], path: Path) -> None:
    """One picture per case: seconds and megabytes by size, with the line through the middle size as linear growth."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, rows = pyplot.subplots(
        len(results), 2, figsize=(9, 2.4 * len(results)), layout="constrained", squeeze=False
    )
    for result, (time, memory) in zip(results, rows, strict=True):
        sizes = KINDS[result.case.name].sizes
        seconds, megabytes = ([_median(result, size, name) for size in sizes] for name in ("seconds", "peak_mb"))
        time.plot(sizes, seconds, "o-", label="measured")
        time.plot([0, sizes[-1]], [0, seconds[1] * sizes[-1] / sizes[1]], "--", color="grey", label="linear")
        memory.plot(sizes, megabytes, "o-", color="tab:orange")
        memory.set_ylim(0, 1.2 * max(megabytes))
        time.set_ylabel("s of processor")
        memory.set_ylabel("peak MB")
        time.legend(fontsize=7)
        for axes in (time, memory):
            axes.set_xlabel(result.case.name, fontsize=8)
            axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _median(result: CaseResult, size: int, figure: str) -> float:
    """NaN if the size was not measured."""
    values = [figures[f"Hearth, {size}"][figure] for figures in result.rounds if f"Hearth, {size}" in figures]
    return statistics.median(values) if values else float("nan")
