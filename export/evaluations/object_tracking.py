"""object-tracking: MOTA, MOTP, IDF1 and identity switches on sequences in the format of the MOT Challenge."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import motmetrics
import numpy as np

from hearth.ops.vision.boxes import box_iou
from hearth.ops.vision.bytetrack import TrackerConfig
from hearth.tasks.detection import Detections
from hearth.tasks.tracking import to_mot, track_objects
from hearth_build.data.datasets import DataError
from hearth_build.data.files import visible
from hearth_build.pipeline.evaluation import Evaluation
from hearth_build.recipe import Example
from hearth_functions.object_tracking import app

DATA_FORMAT = (
    "a sequence or a folder of sequences: gt/gt.txt with det/det.txt, img1/*.jpg or an mp4 beside it; or NAME_gt.txt "
    "with NAME_det.txt or NAME.mp4. If there are detections, they are tracked and the model is not run"
)
MIN_OVERLAP = 0.5
"""IoU of a track's box with the true box from which on it counts as a hit."""
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
    """Read sequences. `inputs` is an mp4, a list of images, or a list of Detections per frame; `expected` is the table
    of gt.txt."""
    if not path.is_dir():
        raise DataError(f"{path} must be {DATA_FORMAT}.")
    truths = _visible({*path.rglob("gt.txt"), *path.rglob("*_gt.txt")}, path)
    return [Example(_read_inputs(truth), read_table(truth), str(truth.relative_to(path))) for truth in truths]


def _visible(files: Iterable[Path], folder: Path) -> list[Path]:
    return sorted(file for file in files if visible(file.relative_to(folder).parts))


def read_table(path: Path) -> Table:
    """Read rows of frame, id, left, top, width, height, score (in gt.txt: whether the row counts), …

    Raises DataError.
    """
    try:
        rows: Table = np.loadtxt(path, delimiter=",", ndmin=2)
    except ValueError as error:
        raise DataError(f"{path} cannot be read ({error}); its lines must be numbers separated by commas.") from None
    if rows.shape[1] < 7:
        raise DataError(
            f"{path} has {rows.shape[1]} columns; frame, id, left, top, width, height and score are needed."
        )
    return rows


def _read_inputs(truth: Path) -> Any:
    prefix = truth.name.removesuffix("gt.txt")  # "" for gt.txt, "NAME_" for NAME_gt.txt
    folder = truth.parent.parent if truth.parent.name == "gt" else truth.parent
    for path in (folder / "det" / f"{prefix}det.txt", folder / f"{prefix}det.txt"):
        if path.exists():
            return to_detections(read_table(path))
    images = _visible(folder.glob("img1/*.jpg"), folder)
    if images and not prefix:
        return [image.read_bytes() for image in images]
    videos = _visible(folder.glob(f"{prefix.removesuffix('_') or '*'}.mp4"), folder)
    if len(videos) != 1:
        raise DataError(f"Beside {truth} there must be one video or one file of detections: {DATA_FORMAT}.")
    return videos[0].read_bytes()


def to_detections(table: Table) -> list[Detections]:
    """The detections of each frame up to the last one that has any. Pixels count from 1 in the files, here from 0."""
    frames = []
    for frame in range(1, int(table[:, 0].max(initial=0)) + 1):
        rows = table[table[:, 0] == frame]
        boxes = (_boxes(rows) - 1).astype(np.float32)
        frames.append(Detections(boxes, rows[:, 6].astype(np.float32), np.zeros(len(rows), np.int64)))
    return frames


def _boxes(table: Table) -> Table:
    return np.concatenate([table[:, 2:4], table[:, 2:4] + table[:, 4:6]], 1)


def measure(model: Any, examples: Sequence[Example]) -> dict[str, float]:
    """Metrics over all sequences together. MOTP is the mean overlap of hits, as in the MOT Challenge."""
    matches = [match_tracks(example.expected, track(model, example.inputs)) for example in examples]
    summary = motmetrics.metrics.create().compute_many(matches, metrics=[*METRICS.values()], generate_overall=True)
    overall = {name: float(summary.loc["OVERALL", key]) for name, key in METRICS.items()}
    return overall | {"MOTP": 1 - overall["MOTP"]}


def track(model: Any, inputs: Any) -> Table:
    """A table like that of gt.txt, from the detections in `inputs` or from the function's output."""
    if isinstance(inputs, list) and isinstance(inputs[0], Detections):
        lines = to_mot(track_objects(enumerate(inputs), TrackerConfig())).splitlines()
        return np.array([line.split(",") for line in lines], float).reshape(-1, 10)
    return np.array(predict(model, inputs), float).reshape(-1, 7)


def match_tracks(truth: Table, predicted: Table) -> Any:
    """Match the boxes of a sequence frame by frame; returns motmetrics' accumulator."""
    accumulator = motmetrics.MOTAccumulator()
    truth = truth[truth[:, 6] != 0]
    last = int(max(truth[:, 0].max(initial=0), predicted[:, 0].max(initial=0)))
    for frame in range(1, last + 1):
        true_rows, predicted_rows = truth[truth[:, 0] == frame], predicted[predicted[:, 0] == frame]
        distances = 1 - box_iou(_boxes(true_rows), _boxes(predicted_rows))
        distances[distances > 1 - MIN_OVERLAP] = np.nan
        accumulator.update(true_rows[:, 1].astype(int), predicted_rows[:, 1].astype(int), distances, frameid=frame)
    return accumulator


def predict(model: Any, inputs: Any) -> list[list[float]]:
    """Rows like those of gt.txt. If the model detects persons, only those, because the MOT Challenge labels people."""
    has_persons = "person" in model.manifest.labels
    rows = []
    for tracked in app.predict(model, app.Request(inputs)).output.tracks or []:
        if has_persons and tracked.label != "person":
            continue
        for sighting in tracked.sightings:
            box = sighting.box
            position = [box.xmin + 1, box.ymin + 1, box.xmax - box.xmin, box.ymax - box.ymin]
            rows.append([sighting.frame, tracked.id, *position, sighting.score])
    return rows


def difference(first: list[list[float]], second: list[list[float]]) -> float:
    """The fraction of boxes that are in only one of the outputs, or belong to another track."""
    if not first + second:
        return 0.0
    first_table, second_table = (np.array(rows, float).reshape(-1, 7) for rows in (first, second))
    first_table[:, 6] = 1  # every row counts: interpolated boxes have no score
    event_types = match_tracks(first_table, second_table).mot_events["Type"]
    return float(event_types.isin(["FP", "MISS", "SWITCH"]).sum()) / (len(first_table) + len(second_table))


def summarize(rows: list[list[float]]) -> str:
    return f"{len({row[1] for row in rows})} tracks in {len({row[0] for row in rows})} frames"


EVALUATION = Evaluation("MOTA", True, DATA_FORMAT, read, measure, predict, difference, summarize)
