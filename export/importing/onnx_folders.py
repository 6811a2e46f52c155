"""Folders of text encoders that hold ONNX: optimum's, onnx-community's for Transformers.js, sentence-transformers'.

Their JSON files say the same as those of folders with safetensors. The graph is adapted to the names and types that
the runtime feeds and reads; a quantized variant in the folder is measured beside ours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from hearth.models.heads import Mask
from hearth_build.importing import pooling
from hearth_build.importing.base import ImportedModel, Importer, ImportOptions, Precision
from hearth_build.importing.graph_choice import VARIANT, choose_graphs
from hearth_build.importing.recipe import import_recipe
from hearth_build.importing.source import Source
from hearth_build.importing.text_tasks import TextTask, is_text_encoder, read_task, recipe_fields
from hearth_build.importing.text_tokenizer import TextTokenizer, read_tokenizer
from hearth_build.onnx_export import file
from hearth_build.recipe import DynamicInt8, GivenGraphs, Quantizer, RecipeError

INPUTS = ("input_ids", "attention_mask", "token_type_ids")
OUTPUTS = {
    "logits": ("logits", "output", "output_0"),
    "tokens": ("last_hidden_state", "token_embeddings", "hidden_states", "output_0"),
    "start_logits": ("start_logits",),
    "end_logits": ("end_logits",),
}
"""Names that exporters give to each output."""


def accepts(source: Source, options: ImportOptions) -> bool:
    return not source.is_file and bool(source.graphs) and is_text_encoder(source, options)


def read(source: Source, options: ImportOptions) -> ImportedModel:
    tokenizer = read_tokenizer(source)
    task = read_task(source, options, tokenizer.tokenizer, int(source.config.get("hidden_size") or 1))
    main, quantized = choose_graphs(source)
    model = file.load(main)
    description = file.describe(model)
    adapted = adapt(source, options, model, task, tokenizer)
    recipe = import_recipe(
        source,
        options,
        description=f"{source.config.get('architectures', ['A graph'])[0]}, imported from ONNX: {source.title}.",
        prepare=lambda work: tokenizer.save(work),
        graphs={"main": writer(adapted)},
        **recipe_fields(source, task, tokenizer),
    )
    quantizers: dict[Precision, Quantizer] = {}
    if not VARIANT.search(main.stem):
        quantizers["int8"] = DynamicInt8()
    if quantized is not None:
        given = adapt(source, options, file.load(quantized), task, tokenizer)
        quantizers["given"] = GivenGraphs({"main": writer(given)}, quantized.name)
    names = ", ".join(path.relative_to(source.folder).as_posix() for path in source.graphs)
    lines = [f"graphs {names}; {main.name} is imported", *description.lines(), task.conclusion()]
    return ImportedModel(recipe, lines, quantizers)


def adapt(
    source: Source, options: ImportOptions, model: onnx.ModelProto, task: TextTask, tokenizer: TextTokenizer
) -> onnx.ModelProto:
    """A graph of int64 inputs and float32 outputs that the task's function runs. Raises RecipeError."""
    graph = model.graph
    weights = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in weights]
    unknown = [value.name for value in inputs if value.name not in INPUTS]
    if unknown or {"input_ids", "attention_mask"} - {value.name for value in inputs}:
        names = ", ".join(value.name for value in inputs)
        raise RecipeError(
            f"{source.path} has a graph with the inputs {names}; a text encoder's are input_ids and attention_mask, "
            "and perhaps token_type_ids. Import it with --task tensors to call it by its tensors."
        )
    for value in inputs:
        if value.type.tensor_type.elem_type != TensorProto.INT64:
            cast_input(graph, value)
    has_types = any(value.name == "token_type_ids" for value in inputs)
    if has_types and not (task.has_pairs and tokenizer.has_types):
        replace_types(graph)
    for axis, name in enumerate(("batch", "sequence")):
        for value in graph.input:
            if value.name in INPUTS:
                value.type.tensor_type.shape.dim[axis].dim_param = name
    names = [output_name(source, graph, name) for name in task.outputs]
    keep_outputs(graph, names, task.outputs)
    if isinstance(task.head, Mask):
        select_masked(graph, task.head.token_id)
    modules = pooling.read_modules(source, options) if task.task == "feature-extraction" else None
    if modules is not None and modules.are_in_graph:
        return pooling.append_to_graph(
            model, pooling.pooling_network(modules, source), int(source.config["hidden_size"])
        )
    return model


def output_name(source: Source, graph: onnx.GraphProto, name: str) -> str:
    names = [value.name for value in graph.output]
    match = next((candidate for candidate in OUTPUTS[name] if candidate in names), None)
    if match is not None:
        return match
    if len(names) == 1:
        return names[0]
    raise RecipeError(f"{source.path} has a graph with the outputs {', '.join(names)}; one of them must be {name}.")


def rename(graph: onnx.GraphProto, old: str, new: str) -> None:
    """Rename a tensor wherever the main graph and its branches read or write it."""
    for node in graph.node:
        for names in (node.input, node.output):
            for index, name in enumerate(names):
                if name == old:
                    names[index] = new
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                rename(attribute.g, old, new)


def cast_input(graph: onnx.GraphProto, value: Any) -> None:
    """Let an input be int64, and cast it to what the graph reads."""
    given = f"{value.name}.cast"
    rename(graph, value.name, given)
    cast = helper.make_node("Cast", [value.name], [given], to=value.type.tensor_type.elem_type)
    graph.node.insert(0, cast)
    value.type.tensor_type.elem_type = TensorProto.INT64


def replace_types(graph: onnx.GraphProto) -> None:
    """Compute the types of tokens as zeros, as transformers does where the tokenizer gives none."""
    position = next(index for index, value in enumerate(graph.input) if value.name == "token_type_ids")
    del graph.input[position]
    graph.node.insert(0, helper.make_node("Sub", ["input_ids", "input_ids"], ["token_type_ids"]))


def keep_outputs(graph: onnx.GraphProto, names: Sequence[str], new_names: Sequence[str]) -> None:
    """Keep these outputs only, in float32 and under their new names."""
    values = {value.name: value for value in graph.output}
    del graph.output[:]
    for name, new in zip(names, new_names, strict=True):
        dimensions = [size.dim_param or size.dim_value or None for size in values[name].type.tensor_type.shape.dim]
        inner = f"{new}.inner"
        rename(graph, name, inner)
        graph.node.append(helper.make_node("Cast", [inner], [new], to=TensorProto.FLOAT))
        graph.output.append(helper.make_tensor_value_info(new, TensorProto.FLOAT, dimensions or None))


def select_masked(graph: onnx.GraphProto, mask_id: int) -> None:
    """Let the output `logits` be (masked tokens, vocabulary) instead of (batch, sequence, vocabulary)."""
    vocabulary = graph.output[0].type.tensor_type.shape.dim[2].dim_value or "vocabulary"
    rename(graph, "logits", "logits.all")
    graph.initializer.append(numpy_helper.from_array(np.array(mask_id, np.int64), "mask.id"))
    graph.node.extend(
        [
            helper.make_node("Equal", ["input_ids", "mask.id"], ["mask.is"]),
            helper.make_node("NonZero", ["mask.is"], ["mask.indices"]),
            helper.make_node("Transpose", ["mask.indices"], ["mask.rows"], perm=[1, 0]),
            helper.make_node("GatherND", ["logits.all", "mask.rows"], ["logits"]),
        ]
    )
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["masks", vocabulary]))


def writer(model: onnx.ModelProto) -> Callable[[Any, Path], None]:
    """A function that writes the graph with its weights in a file beside it, as large graphs need."""

    def write(network: Any, path: Path) -> None:
        copy = onnx.ModelProto()
        copy.CopyFrom(model)
        onnx.save(copy, str(path), save_as_external_data=True, location=f"{path.name}.data", size_threshold=1024)

    return write


IMPORTERS = (Importer("folders of text encoders with ONNX", accepts, read),)
