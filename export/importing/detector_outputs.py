"""The outputs of detectors as one tensor (batch, n, columns), whatever outputs the exporter wrote.

Known are boxes that the graph has selected itself: separate boxes, scores and labels (torchvision, D-FINE's and
RT-DETR's own exports, TensorFlow, TensorRT's plugin), rows of six (YOLOv10, YOLO26, Ultralytics with nms=True) and of
seven that begin with the picture's number (YOLO-NAS). Further: boxes beside a score for each label (DETR's family,
YOLO-NAS, SSD), and Ultralytics' rotated boxes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from hearth_build.importing.base import Notes
from hearth_build.recipe import RecipeError

OUTPUT = "detections"
COLUMNS = 6
"""Of a selected box: its corners, score and label."""
SIZES = ("orig_target_sizes", "target_sizes", "orig_size", "image_size")
"""Names of an input with the size of the picture, to which boxes are scaled."""
Outputs = Mapping[str, np.ndarray[Any, Any]]


@dataclass(frozen=True)
class Joined:
    is_selected: bool = False
    is_normalised: bool = False
    """Whether boxes are in fractions of the canvas."""
    has_all_labels: bool = False
    """DETR's family: a box counts for each label whose score is high enough."""
    is_detr: bool = False


class Edits:
    """Nodes appended to a graph, whose names begin with `detections.`."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.graph = graph
        self.count = 0

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Append a node; return the name of its output."""
        self.count += 1
        output = f"{OUTPUT}.{self.count}"
        self.graph.node.append(helper.make_node(operator, list(inputs), [output], output, **attributes))
        return output

    def constant(self, values: list[float] | list[int]) -> str:
        self.count += 1
        name = f"{OUTPUT}.{self.count}"
        kind = TensorProto.FLOAT if any(isinstance(value, float) for value in values) else TensorProto.INT64
        self.graph.initializer.append(helper.make_tensor(name, kind, [len(values)], values))
        return name

    def float(self, name: str) -> str:
        return self.add("Cast", name, to=TensorProto.FLOAT)

    def slice(self, name: str, start: int, end: int, axis: int) -> str:
        return self.add("Slice", name, self.constant([start]), self.constant([end]), self.constant([axis]))

    def reshape(self, name: str, shape: list[int]) -> str:
        return self.add("Reshape", name, self.constant(shape))

    def finish(self, name: str, columns: int) -> None:
        """Make a tensor the only output of the graph."""
        self.graph.node.append(helper.make_node("Identity", [name], [OUTPUT], OUTPUT))
        del self.graph.output[:]
        value = helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["batch", "n", columns])
        self.graph.output.append(value)


def join(model: onnx.ModelProto, outputs: Outputs, labels: int, notes: Notes) -> Joined | None:
    """Replace several outputs by one. `outputs`: those of a run on noise.

    Returns None, and leaves the graph as it is, if it has no such outputs. Raises RecipeError for a number of labels
    that does not fit.
    """
    boxes, scores = find(outputs, ("box",), 4), find(outputs, ("score", "conf", "logits"), 0)
    classes = find(outputs, ("label", "class"), 0, but=(boxes, scores))
    edits = Edits(model.graph)
    if boxes and scores and classes and outputs[scores].ndim < outputs[boxes].ndim:
        return join_selected(edits, (boxes, scores, classes), outputs, notes)
    if boxes and scores and outputs[scores].ndim == outputs[boxes].ndim == 3:
        return join_scored(edits, boxes, scores, outputs, labels, notes)
    only = next(iter(outputs.items()))
    if len(outputs) == 1 and only[1].ndim == 2 and only[1].shape[1] == COLUMNS + 1:
        rows = edits.slice(only[0], 1, COLUMNS + 1, 1)
        edits.finish(edits.reshape(edits.float(rows), [1, -1, COLUMNS]), COLUMNS)
        return Joined(is_selected=True)
    return None


def find(outputs: Outputs, parts: tuple[str, ...], last: int, but: tuple[str | None, ...] = ()) -> str | None:
    """The only output whose name has one of these parts, and whose last dimension is `last`, if that is not 0."""
    names = [
        name
        for name, output in outputs.items()
        if any(part in name.lower() for part in parts)
        and name not in but
        and (not last or output.shape[-1:] == (last,))
        and not name.lower().startswith(("num", "raw"))
    ]
    return names[0] if len(names) == 1 else None


def join_selected(edits: Edits, names: tuple[str, str, str], outputs: Outputs, notes: Notes) -> Joined:
    boxes, *rest = names
    is_tensorflow = boxes.startswith("detection_boxes")
    corners = edits.float(boxes)
    if is_tensorflow:  # top, left, bottom, right
        order = edits.constant([1, 0, 3, 2])
        corners = edits.add("Gather", corners, order, axis=outputs[boxes].ndim - 1)
        notes.guesses.append("TensorFlow's boxes: fractions of the picture; labels are counted from 1")
    columns = [edits.reshape(corners, [0 if outputs[boxes].ndim == 3 else 1, -1, 4])]
    for name in rest:
        column = edits.reshape(edits.float(name), [0 if outputs[name].ndim >= 2 else 1, -1, 1])
        if is_tensorflow and name == names[2]:
            column = edits.add("Sub", column, edits.constant([1.0]))
        columns.append(column)
    edits.finish(edits.add("Concat", *columns, axis=2), COLUMNS)
    largest = float(np.abs(outputs[boxes]).max(initial=0))
    is_normalised = is_tensorflow or 0 < largest <= 1.5
    return Joined(is_selected=True, is_normalised=is_normalised)


def join_scored(edits: Edits, boxes: str, scores: str, outputs: Outputs, labels: int, notes: Notes) -> Joined:
    """Boxes (batch, n, 4) beside scores (batch, n, labels), or with one more for no object."""
    values = outputs[scores]
    is_detr = boxes.endswith("pred_boxes") or scores.endswith("logits")
    is_logits = bool(values.min() < 0 or values.max() > 1)
    extra = values.shape[2] - labels
    if extra not in (0, 1):
        raise RecipeError(f"Output {scores} has {values.shape[2]} scores for a box, but there are {labels} labels.")
    column = edits.float(scores)
    if is_logits:
        column = edits.add("Softmax", column, axis=2) if extra else edits.add("Sigmoid", column)
    if extra and is_detr:
        column = edits.slice(column, 0, labels, 2)
        notes.guesses.append("the last score of a box is that of no object")
    elif extra:
        column = edits.slice(column, 1, labels + 1, 2)
        notes.guesses.append("the first score of a box is that of the background")
    edits.finish(edits.add("Concat", edits.float(boxes), column, axis=2), 4 + labels)
    return Joined(is_normalised=is_detr, has_all_labels=is_detr and not extra, is_detr=is_detr)


def make_upright(model: onnx.ModelProto, name: str, labels: int, columns_first: bool) -> None:
    """Replace rotated boxes, centre, size, scores and angle, by the upright boxes around them."""
    edits = Edits(model.graph)
    rows = edits.float(name)
    if columns_first:
        rows = edits.add("Transpose", rows, perm=[0, 2, 1])
    centre, width, height = edits.slice(rows, 0, 2, 2), edits.slice(rows, 2, 3, 2), edits.slice(rows, 3, 4, 2)
    scores, angle = edits.slice(rows, 4, 4 + labels, 2), edits.slice(rows, 4 + labels, 5 + labels, 2)
    cosine, sine = (edits.add("Abs", edits.add(operator, angle)) for operator in ("Cos", "Sin"))
    sizes = [
        edits.add("Add", edits.add("Mul", width, first), edits.add("Mul", height, second))
        for first, second in ((cosine, sine), (sine, cosine))
    ]
    edits.finish(edits.add("Concat", centre, *sizes, scores, axis=2), 4 + labels)


def fix_size(model: onnx.ModelProto, canvas: tuple[int, int]) -> None:
    """Turn an input with the size of the picture, (width, height), into a constant."""
    for value in list(model.graph.input):
        if value.name in SIZES:
            kind = value.type.tensor_type.elem_type
            model.graph.input.remove(value)
            model.graph.initializer.append(helper.make_tensor(value.name, kind, [1, 2], canvas))


def is_selected_rows(rows: np.ndarray[Any, Any], labels: int) -> bool:
    """Whether (batch, n, 6) are boxes that the graph has selected: their last column numbers labels."""
    if rows.ndim != 3 or rows.shape[2] != COLUMNS:
        return False
    return labels not in (1, 2) or bool((rows[..., 5] == np.round(rows[..., 5])).all())
