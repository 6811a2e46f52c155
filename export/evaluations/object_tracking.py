"""object-tracking: MOTA, MOTP, IDF1 and identity switches on sequences as the MOT Challenge keeps them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import motmetrics
import numpy as np

from hearth.ops.vision.boxes import box_iou
from hearth.ops.vision.bytetrack import TrackerConfig
from hearth.tasks.detection import Detections
from hearth.tasks.tracking import to_mot, track_objects
from hearth_build.data.datasets import DataError
from hearth_build.pipeline.evaluation import Evaluation
from hearth_build.recipe import Example
from hearth_functions.object_tracking import app

FORM = (
    "a sequence or a folder of them: gt/gt.txt with det/det.txt, img1/*.jpg or an mp4 beside it; or NAME_gt.txt with "
    "NAME_det.txt or NAME.mp4. Where there are detections they are tracked, and the model looks at nothing"
)
LEAST_OVERLAP = 0.5
"""Of a track's box with the true one, for a hit."""
METRICS = {
    "MOTA": "mota",
    "MOTP": "motp",
    "IDF1": "idf1",
    "identity switches": "num_switches",
    "false positives": "num_false_positives",
    "misses": "num_misses",
}
Table = np.ndarray[Any, np.dtype[np.float64]]


def read(path: Path) -> list[Example]:
    """Inputs are an mp4, a list of pictures, or a list of Detections a frame; what is expected are the rows of gt."""
    if not path.is_dir():
        raise DataError(f"{path} must be {FORM}.")
    return [
        Example(_material(truth), table(truth)) for truth in sorted({*path.rglob("gt.txt"), *path.rglob("*_gt.txt")})
    ]


def table(path: Path) -> Table:
    """(n, columns): frame, id, left, top, width, height, score or whether the row counts, … Raises DataError."""
    try:
        rows: Table = np.loadtxt(path, delimiter=",", ndmin=2)
    except ValueError as error:
        raise DataError(f"{path} cannot be read ({error}); its lines must be numbers with commas between.") from None
    if rows.shape[1] < 7:
        raise DataError(
            f"{path} has {rows.shape[1]} columns; frame, id, left, top, width, height and score are needed."
        )
    return rows


def _material(truth: Path) -> Any:
    name = truth.name.removesuffix("gt.txt")  # "" in a folder a sequence, else NAME_
    folder = truth.parent.parent if truth.parent.name == "gt" else truth.parent
    for place in (folder / "det" / f"{name}det.txt", folder / f"{name}det.txt"):
        if place.exists():
            return detections(table(place))
    pictures = sorted(folder.glob("img1/*.jpg"))
    if pictures and not name:
        return [picture.read_bytes() for picture in pictures]
    films = sorted(folder.glob(f"{name.removesuffix('_') or '*'}.mp4"))
    if len(films) != 1:
        raise DataError(f"Beside {truth} there must be one film or one file of detections: {FORM}.")
    return films[0].read_bytes()


def detections(rows: Table) -> list[Detections]:
    """A frame each, from the first to the last that has any. Pixels count from one in such files, here from zero."""
    return [
        Detections((_boxes(part) - 1).astype(np.float32), part[:, 6].astype(np.float32), np.zeros(len(part), np.int64))
        for part in (rows[rows[:, 0] == frame] for frame in range(1, int(rows[:, 0].max(initial=0)) + 1))
    ]


def _boxes(rows: Table) -> Table:
    return np.concatenate([rows[:, 2:4], rows[:, 2:4] + rows[:, 4:6]], 1)


def measure(model: Any, examples: Sequence[Example]) -> dict[str, float]:
    """Over all sequences together. MOTP is the mean overlap of hits, as the MOT Challenge gives it."""
    found = [compared(example.expected, tracks(model, example.inputs)) for example in examples]
    summary = motmetrics.metrics.create().compute_many(found, metrics=[*METRICS.values()], generate_overall=True)
    overall = {name: float(summary.loc["OVERALL", key]) for name, key in METRICS.items()}
    return overall | {"MOTP": 1 - overall["MOTP"]}


def tracks(model: Any, inputs: Any) -> Table:
    """Rows like those of gt: of detections that were given, or of what the function answers."""
    if isinstance(inputs, list) and isinstance(inputs[0], Detections):
        return np.array(
            [line.split(",") for line in to_mot(track_objects(inputs, TrackerConfig())).splitlines()], float
        ).reshape(-1, 10)
    return np.array(answer(model, inputs), float).reshape(-1, 7)


def compared(truth: Table, found: Table) -> Any:
    """The matches of a sequence, frame by frame."""
    accumulator = motmetrics.MOTAccumulator()
    truth = truth[truth[:, 6] != 0]
    last = int(max(truth[:, 0].max(initial=0), found[:, 0].max(initial=0)))
    for frame in range(1, last + 1):
        true, ours = truth[truth[:, 0] == frame], found[found[:, 0] == frame]
        distances = 1 - box_iou(_boxes(true), _boxes(ours))
        distances[distances > 1 - LEAST_OVERLAP] = np.nan
        accumulator.update(true[:, 1].astype(int), ours[:, 1].astype(int), distances, frameid=frame)
    return accumulator


def answer(model: Any, inputs: Any) -> list[list[float]]:
    """Rows like those of gt; of a model that knows persons they alone, because the MOT Challenge's truth is people."""
    found = app.predict(model, app.Request(inputs)).output.tracks or []
    persons = "person" in model.manifest.labels
    return [
        [seen.frame, track.id, box.xmin + 1, box.ymin + 1, box.xmax - box.xmin, box.ymax - box.ymin, seen.score]
        for track in found
        if track.label == "person" or not persons
        for seen, box in ((seen, seen.box) for seen in track.sightings)
    ]


def difference(one: list[list[float]], other: list[list[float]]) -> float:
    """The share of boxes that are in one answer alone, or that carry another number."""
    if not one + other:
        return 0.0
    first, second = (np.array(rows, float).reshape(-1, 7) for rows in (one, other))
    first[:, 6] = 1  # what was filled in has no score, and is part of the answer
    kinds = compared(first, second).mot_events["Type"]
    return float(kinds.isin(["FP", "MISS", "SWITCH"]).sum()) / (len(first) + len(second))


def brief(rows: list[list[float]]) -> str:
    return f"{len({row[1] for row in rows})} tracks in {len({row[0] for row in rows})} frames"


EVALUATION = Evaluation("MOTA", True, FORM, read, measure, answer, difference, brief)
