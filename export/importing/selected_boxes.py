"""Detectors that suppress overlapping boxes themselves.

Their outputs become one, (batch, n, 6), of corners in pixels of the canvas, score and label. Known are separate boxes,
scores and labels (torchvision, D-FINE's and RT-DETR's own exports, TensorRT's plugin), rows of six (YOLOv10, YOLO26,
Ultralytics with nms=True), and rows of seven that begin with the picture's number (YOLO-NAS).
"""

from __future__ import annotations

import onnx
from onnx import TensorProto, helper

from hearth.models.manifest import Tensor
from hearth_build.onnx_export.export import tensor_of

OUTPUT = "selected"
COLUMNS = 6
SIZES = ("orig_target_sizes", "target_sizes", "orig_size", "image_size")
"""Names of an input with the size of the picture, to which boxes are scaled."""


def join_selected(model: onnx.ModelProto, canvas: tuple[int, int]) -> bool:
    """Add the output `selected` in the place of all others, and fix the size of the picture to that of the canvas.

    Returns whether the graph has such outputs; otherwise it is not changed.
    """
    outputs = [tensor_of(value) for value in model.graph.output]
    boxes = find(outputs, ("box",), 4)
    scores, labels = find(outputs, ("score", "conf"), 0), find(outputs, ("label", "class"), 0)
    nodes: list[onnx.NodeProto] = []
    if boxes and scores and labels:
        columns = []
        for tensor, name in ((boxes, "boxes"), (scores, "scores"), (labels, "labels")):
            nodes.append(helper.make_node("Cast", [tensor.name], [f"{name}.float"], to=TensorProto.FLOAT))
            shape = [1, -1, 4] if name == "boxes" else [1, -1, 1]
            if len(tensor.shape) == (3 if name == "boxes" else 2):
                shape[0] = 0  # keep the batch
            weight = helper.make_tensor(f"{name}.shape", TensorProto.INT64, [3], shape)
            model.graph.initializer.append(weight)
            nodes.append(helper.make_node("Reshape", [f"{name}.float", f"{name}.shape"], [f"{name}.columns"]))
            columns.append(f"{name}.columns")
        nodes.append(helper.make_node("Concat", columns, [OUTPUT], axis=2))
    elif len(outputs) == 1 and len(outputs[0].shape) == 2 and outputs[0].shape[1] == COLUMNS + 1:
        constants = {"flat.start": [1], "flat.end": [COLUMNS + 1], "flat.axis": [1], "flat.shape": [1, -1, COLUMNS]}
        for name, values in constants.items():
            weight = helper.make_tensor(name, TensorProto.INT64, [len(values)], values)
            model.graph.initializer.append(weight)
        nodes = [
            helper.make_node("Slice", [outputs[0].name, "flat.start", "flat.end", "flat.axis"], ["flat.rows"]),
            helper.make_node("Reshape", ["flat.rows", "flat.shape"], [OUTPUT]),
        ]
    else:
        return False
    model.graph.node.extend(nodes)
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["batch", "n", COLUMNS]))
    fix_size(model, canvas)
    return True


def find(outputs: list[Tensor], parts: tuple[str, ...], last: int) -> Tensor | None:
    """The only output whose name has one of these parts, and whose last dimension is `last`, if that is not 0."""
    found = [
        tensor
        for tensor in outputs
        if any(part in tensor.name.lower() for part in parts)
        and (not last or tensor.shape[-1:] == (last,))
        and not tensor.name.lower().startswith("num")
    ]
    return found[0] if len(found) == 1 else None


def fix_size(model: onnx.ModelProto, canvas: tuple[int, int]) -> None:
    """Turn an input with the size of the picture, (width, height), into a constant."""
    for value in list(model.graph.input):
        if value.name in SIZES:
            kind = value.type.tensor_type.elem_type
            model.graph.input.remove(value)
            model.graph.initializer.append(helper.make_tensor(value.name, kind, [1, 2], canvas))
