"""Explains a prediction: which words of a text or tiles of a picture made its score.

The explanation calls the task's own function with parts of the input, so it needs nothing from the model but scores.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import msgspec
import numpy as np

from hearth import deadline
from hearth.errors import BadRequest
from hearth.models.model import Model
from hearth.ops.attribution import Floats, Indices, Masks, attribute, split_grid, split_sequence
from hearth.strict_json import safe_name
from hearth.tasks.schema import Box, Explained, ExplainOptions, Explanation, TileAttribution, WordAttribution
from hearth.tasks.task import Prediction, Task
from hearth.telemetry.timing import current

if TYPE_CHECKING:
    from PIL.Image import Image

METHOD = "hierarchical-shapley"
BATCH = 8
"""Largest number of parts of the input in one call of the task's function."""
GRID = 16
"""Number of tiles along the longer side of a picture."""
SECONDS_LEFT = 2.0
"""An explanation ends with what it has this long before the deadline."""
MIN_SCORE = 0.01
"""Boxes with lower scores count as absent."""
EMPTY_TEXT = "."
"""What stands for a text without any of its words; tasks refuse a text that is empty."""
_WORD = re.compile(
    r"[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]|[^\W\u2e80-\ud7af]+(?:['’]\w+)*|[^\w\s]"
)
"""A Chinese, Japanese or Korean character; a word; a punctuation mark."""


def explain(task: Task, model: Model[Any, Any], request: Any) -> Prediction:
    """Predict, and explain the prediction as `request.parameters.explain` says.

    Raises BadRequest, and what the task raises.
    """
    options = request.parameters.explain
    options = ExplainOptions() if options is True else options
    request = msgspec.structs.replace(request, parameters=msgspec.structs.replace(request.parameters, explain=False))
    inputs = request.inputs if isinstance(request.inputs, list) else [request.inputs]
    if len(inputs) != 1:
        raise BadRequest("One input is explained at a time; send one", param="parameters.explain")
    prediction = task.predict(model, request)
    timing = current()
    observed, timing.observed = timing.observed, None  # parts of the input are no inputs of their own
    parts = parts_of(task, model, inputs[0])
    label, score = score_of(task, model, request, parts, prediction, options.target)
    result = attribute(
        score, parts.split, parts.count, options.runs or parts.runs, lambda: deadline.expires_within(SECONDS_LEFT)
    )
    timing.observed = observed
    explanation = Explanation(
        METHOD,
        label,
        result.score,
        result.base_score,
        result.runs,
        float(result.errors.sum()),
        parts.attributions(result.values, result.errors),
    )
    return Prediction(Explained(prediction.output, explanation), prediction.usage)


def parts_of(task: Task, model: Model[Any, Any], value: Any) -> Parts:
    """The units of an input. Raises BadRequest, and what decoding the input raises."""
    parts: Parts = _PARTS[task.row.input](value, model)
    return parts


def score_of(
    task: Task, model: Model[Any, Any], request: Any, parts: Parts, prediction: Prediction, target: str | None
) -> tuple[str, Callable[[Masks], Floats]]:
    """The label to explain, and the function that scores the parts of each mask, (n, units) to (n,).

    The usage of its runs is added to that of the prediction. Raises BadRequest if the prediction has no such label.
    """
    chosen_target = _TARGETS[task.row.codec](prediction.output, target)
    complete = chosen_target.complete(request, model)

    def score(masks: Masks) -> Floats:
        scores = np.empty(len(masks))
        order = masks.sum(1).argsort()  # texts of similar length share a run, which needs little padding
        for start in range(0, len(masks), parts.batch):
            chosen = order[start : start + parts.batch]
            inputs = [parts.select(mask) for mask in masks[chosen]]
            result = task.predict(model, msgspec.structs.replace(complete, inputs=inputs))
            prediction.usage.add(result.usage)
            scores[chosen] = [chosen_target.score(row) for row in result.output]
        return scores

    return chosen_target.label, score


class Parts(Protocol):
    """An input as units that can be left out."""

    runs: int
    """Number of runs by default."""
    count: int
    batch: int
    split: Callable[[Indices], tuple[Indices, Indices]]

    def select(self, mask: Masks) -> str | bytes:
        """The input with only the units of a mask, (units,)."""

    def attributions(self, values: Floats, errors: Floats) -> Sequence[WordAttribution | TileAttribution]: ...


class _Words:
    runs = 40
    split = staticmethod(split_sequence)

    def __init__(self, text: str, model: Model[Any, Any]) -> None:
        self._text = text
        self._spans = [match.span() for match in _WORD.finditer(text)]
        if not self._spans:
            raise BadRequest("The text has no words that could be explained")
        self.count = len(self._spans)
        self.batch = min(BATCH, model.manifest.limits.batch)

    def select(self, mask: Masks) -> str:
        pieces, end = [], 0
        for (start, stop), kept in zip(self._spans, mask.tolist(), strict=True):
            pieces.append(self._text[end : stop if kept else start])
            end = stop
        text = "".join([*pieces, self._text[end:]])
        return text if text.strip() else EMPTY_TEXT

    def attributions(self, values: Floats, errors: Floats) -> list[WordAttribution]:
        return [
            WordAttribution(self._text[start:stop], start, stop, value, error)
            for (start, stop), value, error in zip(self._spans, values.tolist(), errors.tolist(), strict=True)
        ]


class _Tiles:
    runs = 100

    def __init__(self, data: bytes, model: Model[Any, Any]) -> None:
        from hearth.ops.vision.images import MAX_PIXELS, open_image

        limits, preprocessing = model.manifest.limits, model.preprocessing
        pixels = limits.pixels or MAX_PIXELS
        picture = open_image(data, pixels)
        self._size = picture.size
        # Twice the model's input is enough for its scores, and keeps hundreds of copies of a large photo cheap.
        edge = 2 * max(preprocessing.width, preprocessing.height)
        picture.thumbnail((edge, edge))
        self._picture: Image = picture
        longer = max(picture.size)
        self._columns, self._rows = (max(1, min(side, round(GRID * side / longer))) for side in picture.size)
        self.count = self._columns * self._rows
        self.batch = max(1, min(BATCH, limits.batch, pixels // (picture.width * picture.height)))
        self.split = split_grid(self._columns)
        self._background = tuple(round(mean) for mean in np.asarray(picture).reshape(-1, 3).mean(0))

    def select(self, mask: Masks) -> bytes:
        import io

        from PIL import Image

        tiles = Image.fromarray(mask.reshape(self._rows, self._columns)).resize(
            self._picture.size, Image.Resampling.NEAREST
        )
        part = Image.new("RGB", self._picture.size, self._background)
        part.paste(self._picture, mask=tiles)
        file = io.BytesIO()
        part.save(file, "BMP")  # the fastest format to write and to read
        return file.getvalue()

    def attributions(self, values: Floats, errors: Floats) -> list[TileAttribution]:
        columns, rows = (
            np.linspace(0, side, count + 1).round().astype(int).tolist()
            for side, count in zip(self._size, (self._columns, self._rows), strict=True)
        )
        boxes = (Box(left, top, right, bottom) for top, bottom in pairwise(rows) for left, right in pairwise(columns))
        return [
            TileAttribution(box, value, error)
            for box, value, error in zip(boxes, values.tolist(), errors.tolist(), strict=True)
        ]


class _LabelTarget(NamedTuple):
    """The score of one label."""

    label: str

    @classmethod
    def of(cls, output: Any, target: str | None) -> _LabelTarget:
        return cls(_row(output)[0].label if target is None else target)

    def complete(self, request: Any, model: Model[Any, Any]) -> Any:
        """The request for the scores of all labels."""
        labels = model.manifest.labels
        if hasattr(request.parameters, "top_k"):
            if self.label not in labels:
                raise BadRequest(f"There is no label {safe_name(self.label)} to explain", param="parameters.explain")
            parameters = msgspec.structs.replace(request.parameters, top_k=len(labels))
            request = msgspec.structs.replace(request, parameters=parameters)
        return request

    def score(self, row: Any) -> float:
        for label in row:
            if label.label == self.label:
                return float(label.score)
        raise BadRequest(f"There is no label {safe_name(self.label)} to explain", param="parameters.explain")


class _BoxTarget(NamedTuple):
    """The best box of a label that lies where a given box lies: its score times the overlap (D-RISE, Petsiuk 2021)."""

    label: str
    box: Box

    @classmethod
    def of(cls, output: Any, target: str | None) -> _BoxTarget:
        for detection in _row(getattr(output, "boxes", output)):
            if target in (None, detection.label):
                return cls(detection.label, detection.box)
        name = "nothing" if target is None else f"no {safe_name(target)}"
        raise BadRequest(f"There is {name} in the answer that could be explained", param="parameters.explain")

    def complete(self, request: Any, model: Model[Any, Any]) -> Any:
        """The request for all boxes with a score worth counting, without the drawn picture."""
        parameters = msgspec.structs.replace(request.parameters, threshold=MIN_SCORE, annotate=False)
        return msgspec.structs.replace(request, parameters=parameters)

    def score(self, row: Any) -> float:
        boxes = (detection for detection in row if detection.label == self.label)
        return max((detection.score * _overlap(detection.box, self.box) for detection in boxes), default=0.0)


def _row(output: list[Any]) -> list[Any]:
    """The result of the only input, which is in a list of its own if the input was."""
    return output[0] if output and isinstance(output[0], list) else output


def _overlap(box: Box, other: Box) -> float:
    """Intersection over union."""
    width = min(box.xmax, other.xmax) - max(box.xmin, other.xmin)
    height = min(box.ymax, other.ymax) - max(box.ymin, other.ymin)
    common = max(width, 0) * max(height, 0)
    areas = ((edges.xmax - edges.xmin) * (edges.ymax - edges.ymin) for edges in (box, other))
    return common / (sum(areas) - common) if common else 0.0


_PARTS: dict[str, Callable[[Any, Model[Any, Any]], Any]] = {"text": _Words, "image": _Tiles}
_TARGETS: dict[str, Callable[[Any, str | None], Any]] = {
    "scores": _LabelTarget.of,
    "candidate_scores": _LabelTarget.of,
    "detections": _BoxTarget.of,
}
