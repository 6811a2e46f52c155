"""Graphs of image models as other tools export them: which file to take, and what to add or leave out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

from hearth_build.importing.source import Source
from hearth_build.recipe import RecipeError


def main_graph(source: Source) -> Path:
    """The graph in full precision. Raises RecipeError if it cannot be told which one that is."""
    if len(source.graphs) == 1:
        return source.graphs[0]
    for path in source.graphs:
        if path.name == "model.onnx":
            return path
    names = ", ".join(str(path.relative_to(source.folder)) for path in source.graphs)
    raise RecipeError(f"{source.folder} has the graphs {names}, but no model.onnx. Give one of these files.")


def keep(model: onnx.ModelProto, inputs: Sequence[str], outputs: Sequence[str]) -> onnx.ModelProto:
    """Reduce the graph to what these outputs need. Raises RecipeError if they need other inputs."""
    graph = model.graph
    producers = {name: node for node in graph.node for name in node.output}
    needed: set[str] = set()
    pending = list(outputs)
    while pending:
        name = pending.pop()
        if name in needed:
            continue
        needed.add(name)
        if name in producers:
            pending += [*producers[name].input, *outer_names(producers[name])]
    weights = {tensor.name for tensor in graph.initializer}
    used = [value for value in graph.input if value.name in needed and value.name not in weights]
    if extra := sorted({value.name for value in used} - set(inputs)):
        raise RecipeError(
            f"The graph's {', '.join(outputs)} needs {', '.join(extra)} too; import it with --task tensors."
        )
    nodes = [node for node in graph.node if needed & set(node.output)]
    tensors = [tensor for tensor in graph.initializer if tensor.name in needed]
    results = [next(value for value in graph.output if value.name == name) for name in outputs]
    for field, values in (
        (graph.node, nodes),
        (graph.input, used),
        (graph.initializer, tensors),
        (graph.output, results),
    ):
        del field[:]
        field.extend(values)
    return model


def outer_names(node: onnx.NodeProto) -> set[str]:
    """The names that the subgraphs of a node may take from outside."""
    names: set[str] = set()
    for attribute in node.attribute:
        for inner in attribute.g.node:
            names |= set(inner.input) | outer_names(inner)
        names |= {value.name for value in attribute.g.output}
    return names


def output_named(model: onnx.ModelProto, names: Sequence[str]) -> str:
    """The first of these outputs that the graph has. Raises RecipeError."""
    outputs = [value.name for value in model.graph.output]
    for name in names:
        if name in outputs:
            return name
    raise RecipeError(
        f"The graph has the outputs {', '.join(outputs)}; {' or '.join(names)} is needed. "
        "Import the file with --task tensors."
    )


def picture_graph(path: Path, outputs: Sequence[str]) -> onnx.ModelProto:
    """The graph from its pictures to the first of these outputs; the only output may have any name."""
    model = onnx.load(path)
    fill_pixel_mask(model)
    names = [value.name for value in model.graph.output]
    output = names[0] if len(names) == 1 else output_named(model, outputs)
    return keep(model, picture_inputs(model), [output])


def picture_inputs(model: onnx.ModelProto) -> list[str]:
    """The inputs of four dimensions."""
    return [value.name for value in model.graph.input if len(value.type.tensor_type.shape.dim) == 4]


def fixed_batch(path: Path) -> bool:
    """Whether the graph takes one picture at a time."""
    model = onnx.load(path, load_external_data=False)
    names = picture_inputs(model)
    return any(value.type.tensor_type.shape.dim[0].dim_value == 1 for value in model.graph.input if value.name in names)


def fill_pixel_mask(model: onnx.ModelProto) -> None:
    """Compute the input `pixel_mask` of DETR's exports from the pictures: nothing of a single picture is padding."""
    graph = model.graph
    mask = next((value for value in graph.input if value.name == "pixel_mask"), None)
    if mask is None:
        return
    pixels = picture_inputs(model)[0]
    kind = mask.type.tensor_type.elem_type
    graph.input.remove(mask)
    graph.initializer.append(helper.make_tensor("pixel_mask.axes", TensorProto.INT64, [3], [0, 2, 3]))
    one = helper.make_tensor("one", kind, [1], [1])
    nodes = [
        helper.make_node("Shape", [pixels], ["pixel_mask.shape"]),
        helper.make_node("Gather", ["pixel_mask.shape", "pixel_mask.axes"], ["pixel_mask.size"]),
        helper.make_node("ConstantOfShape", ["pixel_mask.size"], ["pixel_mask"], value=one),
        *graph.node,
    ]
    del graph.node[:]
    graph.node.extend(nodes)


def detection_graph(path: Path, softmax: bool, labels: int) -> onnx.ModelProto:
    """The graph from pictures to `detections`, (batch, queries, 4 + labels), from DETR's `logits` and `pred_boxes`.

    Raises RecipeError for a graph that does not have them.
    """
    model = onnx.load(path)
    fill_pixel_mask(model)
    boxes, logits = output_named(model, ("pred_boxes",)), output_named(model, ("logits",))
    graph = model.graph
    ends = {"starts": [0], "ends": [labels], "axes": [2]}
    graph.initializer.extend(
        helper.make_tensor(f"scores.{name}", TensorProto.INT64, [1], value) for name, value in ends.items()
    )
    graph.node.extend(
        [
            helper.make_node("Softmax", [logits], ["scores.all"], axis=-1)
            if softmax
            else helper.make_node("Sigmoid", [logits], ["scores.all"]),
            helper.make_node("Slice", ["scores.all", *(f"scores.{name}" for name in ends)], ["scores"]),
            helper.make_node("Concat", [boxes, "scores"], ["detections.given"], axis=2),
            helper.make_node("Cast", ["detections.given"], ["detections"], to=TensorProto.FLOAT),
        ]
    )
    graph.output.append(
        helper.make_tensor_value_info("detections", TensorProto.FLOAT, ["batch", "queries", 4 + labels])
    )
    return keep(model, picture_inputs(model), ["detections"])


def tower(path: Path, inputs: Sequence[str], outputs: Sequence[str]) -> onnx.ModelProto:
    """One of the two halves of CLIP."""
    model = onnx.load(path)
    return keep(model, inputs, [output_named(model, outputs)])


def measure_scale(path: Path, size: tuple[int, int], ids: np.ndarray) -> tuple[float, float] | None:
    """Scale and bias of CLIP's logits, scale * cosine + bias, from a run of the whole graph; None if it has no logits.

    `size`: height and width of a picture; `ids`: (texts, length), of different texts.
    """
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    if not {"logits_per_image", "image_embeds", "text_embeds"} <= set(names):
        return None
    random = np.random.default_rng(0)
    feeds: dict[str, Any] = {
        "pixel_values": random.normal(size=(1, 3, *size)).astype(np.float32),
        "input_ids": ids,
        "attention_mask": np.ones_like(ids),
    }
    wanted = {value.name for value in session.get_inputs()}
    outputs = dict(zip(names, session.run(names, {name: feeds[name] for name in wanted}), strict=True))
    image, text = (
        outputs[name] / np.linalg.norm(outputs[name], axis=-1, keepdims=True)
        for name in ("image_embeds", "text_embeds")
    )
    cosines = (image @ text.T).ravel()
    scale, bias = np.polyfit(cosines.astype(float), outputs["logits_per_image"].ravel().astype(float), 1)
    return float(scale), float(bias)
