"""Graphs of image models as other tools export them: which file to take, and what to add or leave out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime
from msgspec.structs import replace
from onnx import TensorProto, helper
from tokenizers import Tokenizer

from hearth.models.heads import Contrastive, Segmenter
from hearth.models.preprocessing import ImagePreprocessing
from hearth_build.importing.graph_choice import main_graph
from hearth_build.importing.picture_parts import Parts, activation_of, detector_head, is_softmax, text_fields
from hearth_build.importing.source import Source
from hearth_build.onnx_export import file
from hearth_build.onnx_export.graph_walk import names_needed
from hearth_build.onnx_export.rewrite import rename
from hearth_build.recipe import RecipeError

if TYPE_CHECKING:
    from torch import nn

TEXTS = ("a disc on a blue ground", "stripes", "two red walls and a door", "the sea in the evening")
FEATURES = ("image_embeds", "pooler_output", "pooled_output", "last_hidden_state")


def load(path: Path) -> onnx.ModelProto:
    """The graph with inputs of pictures and outputs in float32, whatever its own types are."""
    model = file.read(path)
    graph = model.graph
    before, after = [], []
    for value in graph.input:
        kind = value.type.tensor_type.elem_type
        if len(value.type.tensor_type.shape.dim) == 4 and kind in (TensorProto.FLOAT16, TensorProto.UINT8):
            for node in graph.node:
                rename(node.input, {value.name: f"{value.name}.given"})
            before.append(helper.make_node("Cast", [value.name], [f"{value.name}.given"], to=kind))
            value.type.tensor_type.elem_type = TensorProto.FLOAT
    for value in graph.output:
        if value.type.tensor_type.elem_type in (TensorProto.FLOAT16, TensorProto.DOUBLE):
            for node in graph.node:
                rename(node.input, {value.name: f"{value.name}.given"})
                rename(node.output, {value.name: f"{value.name}.given"})
            after.append(helper.make_node("Cast", [f"{value.name}.given"], [value.name], to=TensorProto.FLOAT))
            value.type.tensor_type.elem_type = TensorProto.FLOAT
    nodes = [*before, *graph.node, *after]
    del graph.node[:]
    graph.node.extend(nodes)
    return model


def fit_to_graph(preprocessing: ImagePreprocessing, source: Source) -> ImagePreprocessing:
    """The preprocessing with the size that the graph fixes."""
    model = onnx.load(main_graph(source), load_external_data=False)
    pixels = next((value for value in model.graph.input if value.name in picture_inputs(model)), None)
    if pixels is None:
        return preprocessing
    height, width = (size.dim_value for size in pixels.type.tensor_type.shape.dim[2:4])
    if not height or not width or (height, width) == (preprocessing.height, preprocessing.width):
        return preprocessing
    if preprocessing.resize == "keep-aspect":
        return replace(preprocessing, width=width, height=height, resize="stretch")
    return replace(preprocessing, width=width, height=height)


def keep(model: onnx.ModelProto, inputs: Sequence[str], outputs: Sequence[str]) -> onnx.ModelProto:
    """Reduce the graph to what these outputs need. Raises RecipeError if they need other inputs."""
    graph = model.graph
    needed = names_needed(graph, outputs)
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
    model = load(path)
    fill_pixel_mask(model)
    names = [value.name for value in model.graph.output]
    output = names[0] if len(names) == 1 else output_named(model, outputs)
    return keep(model, picture_inputs(model), [output])


def picture_inputs(model: onnx.ModelProto) -> list[str]:
    """The inputs of four dimensions."""
    return [value.name for value in model.graph.input if len(value.type.tensor_type.shape.dim) == 4]


def has_fixed_batch(source: Source) -> bool:
    """Whether the graph takes one picture at a time."""
    model = onnx.load(main_graph(source), load_external_data=False)
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
    model = load(path)
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
    model = load(path)
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


def writer(change: Callable[[], onnx.ModelProto]) -> Callable[[nn.Module | None, Path], None]:
    def write(network: nn.Module | None, path: Path) -> None:
        onnx.save(change(), str(path), save_as_external_data=True, location=f"{path.name}.data")

    return write


def classifier(source: Source, preprocessing: ImagePreprocessing, labels: tuple[str, ...]) -> Parts:
    graph = writer(lambda: picture_graph(main_graph(source), ("logits",)))
    return Parts({"main": graph}, labels, activation=activation_of(source))


def segmenter(source: Source, preprocessing: ImagePreprocessing, labels: tuple[str, ...]) -> Parts:
    graph = writer(lambda: picture_graph(main_graph(source), ("logits",)))
    return Parts({"main": graph}, labels, Segmenter())


def detector(source: Source, preprocessing: ImagePreprocessing, labels: tuple[str, ...]) -> Parts:
    graph = writer(lambda: detection_graph(main_graph(source), is_softmax(source), len(labels)))
    return Parts({"main": graph}, labels, detector_head(source))


def features(source: Source, preprocessing: ImagePreprocessing, labels: tuple[str, ...]) -> Parts:
    path = main_graph(source)
    dimensions = feature_graph(path).graph.output[0].type.tensor_type.shape.dim[1].dim_value
    dimensions = dimensions or int(source.config.get("projection_dim") or source.config.get("hidden_size") or 0)
    if not dimensions:
        raise RecipeError(f"{path} does not say how many numbers a vector has. Import it with --task tensors.")
    return Parts({"main": writer(lambda: feature_graph(path))}, (), Contrastive(dimensions=dimensions))


def feature_graph(path: Path) -> onnx.ModelProto:
    """The graph from pictures to vectors: the pooled output, or the first token of the last layer."""
    model = picture_graph(path, FEATURES)
    value = model.graph.output[0]
    shape = value.type.tensor_type.shape.dim
    if len(shape) not in (3, 4):
        return model
    nodes, name = model.graph.node, value.name
    if len(shape) == 3:  # (batch, tokens, size)
        size = shape[2].dim_value
        model.graph.initializer.append(helper.make_tensor("first.token", TensorProto.INT64, [], [0]))
        nodes.append(helper.make_node("Gather", [name, "first.token"], ["vectors"], axis=1))
    else:  # (batch, size, rows, columns)
        size = shape[1].dim_value
        nodes.append(helper.make_node("GlobalAveragePool", [name], ["vectors.grid"]))
        nodes.append(helper.make_node("Flatten", ["vectors.grid"], ["vectors"]))
    del model.graph.output[:]
    vectors = helper.make_tensor_value_info("vectors", TensorProto.FLOAT, ["batch", size or "size"])
    model.graph.output.append(vectors)
    return model


def contrastive(source: Source, preprocessing: ImagePreprocessing, labels: tuple[str, ...]) -> Parts:
    """From one graph with both towers, whose logits give their scale, or from vision_model.onnx and text_model.onnx
    beside it. Raises RecipeError."""
    fields, activation = text_fields(source)
    files = {path.name: path for path in source.graphs}
    whole = main_graph(source)
    tokenizer = Tokenizer.from_file(str(source.folder / "tokenizer.json"))
    tokenizer.enable_padding(pad_id=fields["pad_id"], length=fields["max_tokens"])
    tokenizer.enable_truncation(fields["max_tokens"])
    ids = np.array([encoding.ids for encoding in tokenizer.encode_batch(TEXTS)], np.int64)
    measured = measure_scale(whole, (preprocessing.height, preprocessing.width), ids)
    if measured is None:
        raise RecipeError(
            f"{whole} has no logits_per_image, image_embeds and text_embeds, so the scale of the scores is unknown. "
            "Give the folder with safetensors, or export the whole model (optimum-cli export onnx)."
        )
    scale, bias = measured
    image_path, text_path = files.get("vision_model.onnx", whole), files.get("text_model.onnx", whole)
    image = tower(image_path, ("pixel_values",), ("image_embeds",))
    dimensions = image.graph.output[0].type.tensor_type.shape.dim[1].dim_value
    graphs = {
        "main": writer(lambda: tower(image_path, ("pixel_values",), ("image_embeds",))),
        "text": writer(lambda: tower(text_path, ("input_ids", "attention_mask"), ("text_embeds",))),
    }
    head = Contrastive(
        dimensions=dimensions or int(source.config.get("projection_dim") or 512), scale=scale, bias=bias, **fields
    )
    return Parts(graphs, (), head, activation)


READERS = {
    "image-classification": classifier,
    "object-detection": detector,
    "image-segmentation": segmenter,
    "zero-shot-image-classification": contrastive,
    "image-feature-extraction": features,
}
"""By task: (source, preprocessing, labels) -> parts. They raise RecipeError."""
