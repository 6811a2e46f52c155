"""The two graphs of an encoder-decoder from the graphs that optimum exports.

optimum's encoder gives hidden states, from which its decoder computes the keys and values of cross-attention in its
first step; here they are outputs of `main`. Its decoder with past is the graph of every step, the first one too, with a
past of no tokens. The merged decoder has both as the branches of an If.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import TensorProto, helper

from hearth_build.onnx_export import file
from hearth_build.onnx_export.graph_walk import names_needed, outer_names
from hearth_build.recipe import RecipeError

CACHE_FLAG = "use_cache_branch"
STATES, MASK = "encoder_hidden_states", "encoder_attention_mask"
FLOATS = (TensorProto.FLOAT16, TensorProto.DOUBLE)


@dataclass(frozen=True)
class OptimumFiles:
    encoder: Path
    first: Path
    """The decoder of the first step, or the merged one."""
    following: Path
    """The decoder with past, or the merged one."""


def find_files(graphs: Sequence[Path]) -> OptimumFiles | None:
    """The files in full precision, else in the precision that is there; None if one of them is missing."""
    for suffix in ("", "_fp16", "_quantized", "_int8", "_uint8"):
        names = {path.stem: path for path in graphs}
        encoder = names.get(f"encoder_model{suffix}")
        merged = names.get(f"decoder_model_merged{suffix}")
        first = merged or names.get(f"decoder_model{suffix}")
        following = merged or names.get(f"decoder_with_past_model{suffix}")
        if encoder and first and following:
            return OptimumFiles(encoder, first, following)
    return None


def load(path: Path, *, with_past: bool) -> onnx.ModelProto:
    """A decoder without or with past; of a merged one the branch. Floats are float32 at the edges."""
    model = file.read(path)
    if any(value.name == CACHE_FLAG for value in model.graph.input):
        model = branch_of(model, with_past=with_past)
    return model


def branch_of(model: onnx.ModelProto, *, with_past: bool) -> onnx.ModelProto:
    """One of the two decoders of a merged graph, with the inputs and weights that it needs."""
    graph = model.graph
    choice = next((node for node in graph.node if node.op_type == "If"), None)
    if choice is None or choice.input[0] != CACHE_FLAG:
        raise RecipeError(f"The merged decoder has no If that reads {CACHE_FLAG}, so it cannot be taken apart.")
    name = "then_branch" if with_past else "else_branch"
    branch = next(attribute.g for attribute in choice.attribute if attribute.name == name)
    outside = [node for node in graph.node if node is not choice]
    nodes = [*outside, *branch.node]
    outputs = []
    for inner, outer in zip(branch.output, choice.output, strict=True):
        if inner.name != outer:
            nodes.append(helper.make_node("Identity", [inner.name], [outer]))
        value = next(value for value in graph.output if value.name == outer)
        outputs.append(helper.make_tensor_value_info(outer, value.type.tensor_type.elem_type, None))
    names = {value.name for value in branch.initializer}
    weights = [*(tensor for tensor in graph.initializer if tensor.name not in names), *branch.initializer]
    read = {name for node in nodes for name in (*node.input, *outer_names(node))}
    inputs = [value for value in graph.input if value.name in read]
    taken = helper.make_graph(nodes, graph.name, inputs, outputs, [w for w in weights if w.name in read])
    result = helper.make_model(taken, opset_imports=model.opset_import, ir_version=model.ir_version)
    result.functions.extend(model.functions)
    return result


def shape_of(files: OptimumFiles) -> tuple[int, int, int]:
    """Layers, heads and their size, from the inputs of the decoder. Raises RecipeError."""
    model = onnx.load(str(files.following), load_external_data=False)
    keys = [value for value in model.graph.input if value.name.endswith("decoder.key")]
    if not keys:
        raise RecipeError(
            f"{files.following.name} has no inputs past_key_values.N.decoder.key; export it with optimum."
        )
    dimensions = keys[0].type.tensor_type.shape.dim
    heads, size = dimensions[1].dim_value, dimensions[3].dim_value
    if not heads or not size:
        raise RecipeError(f"{files.following.name} does not say how many heads its {keys[0].name} has.")
    return len(keys), heads, size


def write_encoder(files: OptimumFiles, layers: int, path: Path) -> None:
    """`main`: the encoder, then every layer's cross-attention key and value."""
    encoder, decoder = file.read(files.encoder), load(files.first, with_past=False)
    presents = [f"present.{layer}.encoder.{part}" for layer in range(layers) for part in ("key", "value")]
    nodes, weights = needed(decoder.graph, presents)
    used = {value.name for value in decoder.graph.input} & {name for node in nodes for name in node.input}
    if others := used - {STATES, "input_ids", MASK}:
        raise RecipeError(f"{files.first.name}: keys of cross-attention depend on {', '.join(sorted(others))}.")
    has_ids = any(value.name == "input_ids" for value in encoder.graph.input)
    given = [helper.make_node("Identity", [encoder.graph.output[0].name], [f"d.{STATES}"])]
    # Keys and values do not depend on the tokens, but some exports take the size of the batch from them.
    if "input_ids" in used and has_ids:
        given.append(helper.make_node("Slice", ["input_ids", "d.start", "d.end", "d.axis"], ["d.input_ids"]))
    if MASK in used:
        given.append(helper.make_node("Identity", ["attention_mask"], [f"d.{MASK}"]))
    constants = [
        helper.make_tensor(f"d.{name}", TensorProto.INT64, [1], [value])
        for name, value in (("start", 0), ("end", 1), ("axis", 1))
    ]
    if not has_ids:
        constants.append(helper.make_tensor("d.input_ids", TensorProto.INT64, [1, 1], [0]))
    merged = helper.make_model(
        helper.make_graph(
            [
                *encoder.graph.node,
                *given,
                *(renamed(node, "d.") for node in nodes),
                *(
                    helper.make_node("Cast", [f"d.{old}"], [new], to=TensorProto.FLOAT)
                    for old, new in zip(presents, tensor_names("cross", layers), strict=True)
                ),
            ],
            "encoder",
            list(encoder.graph.input),
            [
                helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", "heads", "source", "size"])
                for name in tensor_names("cross", layers)
            ],
            [*encoder.graph.initializer, *constants, *(copy_named(tensor, f"d.{tensor.name}") for tensor in weights)],
        ),
        opset_imports=joined_opsets(encoder, decoder),
        ir_version=encoder.ir_version,
    )
    cast_inputs(merged)
    save(merged, path)


def write_decoder(files: OptimumFiles, layers: int, path: Path, *, has_mask: bool) -> None:
    """`decoder`: logits of the next token of every row, and the extended keys and values.

    optimum's decoder reads a source for each row; here the beams of a source share its mask and cross-attention.
    """
    model = load(files.following, with_past=True)
    graph = model.graph
    past = {f"past_key_values.{layer}.decoder.{part}": None for layer in range(layers) for part in ("key", "value")}
    sources = [f"past_key_values.{layer}.encoder.{part}" for layer in range(layers) for part in ("key", "value")]
    presents = [f"present.{layer}.decoder.{part}" for layer in range(layers) for part in ("key", "value")]
    values = {value.name: value for value in graph.input}
    renames = dict(zip(past, tensor_names("past", layers), strict=True))
    crossed = dict(zip(sources, tensor_names("cross", layers), strict=True))
    before: list[onnx.NodeProto] = []
    for name, shorter in crossed.items():
        before += expand(shorter, name)
    if MASK in values:
        before += expand("attention_mask", MASK)
    nodes = [renamed_by(node, renames) for node in graph.node]
    beams = [
        *shape_nodes("input_ids", "beams.rows", "beams.none", "beams.one"),
        *shape_nodes(next(iter(crossed.values())), "beams.batch", "beams.none", "beams.one"),
        helper.make_node("Div", ["beams.rows", "beams.batch"], ["beams.count"]),
    ]
    after = [
        helper.make_node("Gather", ["logits", "last.token"], ["logits.last"], axis=1),
        helper.make_node("Cast", ["logits.last"], ["logits.float"], to=TensorProto.FLOAT),
        helper.make_node("Identity", ["logits.float"], ["next.logits"]),
    ]
    outputs = [helper.make_tensor_value_info("next.logits", TensorProto.FLOAT, ["rows", "vocabulary"])]
    for old, new in zip(presents, tensor_names("present", layers), strict=True):
        after.append(helper.make_node("Cast", [old], [new], to=TensorProto.FLOAT))
        outputs.append(helper.make_tensor_value_info(new, TensorProto.FLOAT, ["rows", "heads", "length", "size"]))
    kind = values[sources[0]].type.tensor_type.elem_type
    heads = values[sources[0]].type.tensor_type.shape.dim[1].dim_value or "heads"
    size = values[sources[0]].type.tensor_type.shape.dim[3].dim_value or "size"
    inputs = [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["rows", 1])]
    if has_mask:
        inputs.append(helper.make_tensor_value_info("attention_mask", TensorProto.INT64, ["batch", "source"]))
    for name in crossed.values():
        inputs.append(helper.make_tensor_value_info(name, kind, ["batch", heads, "source", size]))
    for name in renames.values():
        inputs.append(helper.make_tensor_value_info(name, kind, ["rows", heads, "generated", size]))
    constants = [
        helper.make_tensor("last.token", TensorProto.INT64, [], [-1]),
        helper.make_tensor("beams.axis", TensorProto.INT64, [1], [1]),
        helper.make_tensor("beams.all", TensorProto.INT64, [1], [-1]),
        helper.make_tensor("beams.one", TensorProto.INT64, [1], [1]),
        helper.make_tensor("beams.none", TensorProto.INT64, [1], [0]),
        helper.make_tensor("beams.end", TensorProto.INT64, [1], [9]),
    ]
    whole = helper.make_graph(
        [*beams, *before, *nodes, *after], "decoder", inputs, outputs, [*graph.initializer, *constants]
    )
    result = helper.make_model(whole, opset_imports=model.opset_import, ir_version=model.ir_version)
    result.functions.extend(model.functions)
    cast_inputs(result)
    save(result, path)


def expand(source: str, target: str) -> list[onnx.NodeProto]:
    """Repeat each source of a tensor (batch, …) for its beams: (rows, …)."""
    return [
        helper.make_node("Unsqueeze", [source, "beams.axis"], [f"{target}.one"]),
        *shape_nodes(source, f"{target}.rest", "beams.one", "beams.end"),
        *shape_nodes(source, f"{target}.batch", "beams.none", "beams.one"),
        helper.make_node("Concat", [f"{target}.batch", "beams.count", f"{target}.rest"], [f"{target}.size"], axis=0),
        helper.make_node("Expand", [f"{target}.one", f"{target}.size"], [f"{target}.all"]),
        helper.make_node("Concat", ["beams.all", f"{target}.rest"], [f"{target}.shape"], axis=0),
        helper.make_node("Reshape", [f"{target}.all", f"{target}.shape"], [target]),
    ]


def shape_nodes(source: str, target: str, start: str, end: str) -> list[onnx.NodeProto]:
    """Some of the sizes of a tensor; Shape itself can choose them from opset 15 on."""
    return [
        helper.make_node("Shape", [source], [f"{target}.whole"]),
        helper.make_node("Slice", [f"{target}.whole", start, end], [target]),
    ]


def needed(graph: onnx.GraphProto, outputs: Sequence[str]) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """The nodes and weights that these outputs depend on."""
    names = names_needed(graph, outputs)
    nodes = [node for node in graph.node if names & set(node.output)]
    return nodes, [tensor for tensor in graph.initializer if tensor.name in names]


def renamed(node: onnx.NodeProto, prefix: str) -> onnx.NodeProto:
    """A copy whose tensors have the prefix."""
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    for names in (copy.input, copy.output):
        for index, name in enumerate(names):
            names[index] = f"{prefix}{name}" if name else ""
    copy.name = f"{prefix}{node.name}" if node.name else ""
    return copy


def renamed_by(node: onnx.NodeProto, table: dict[str, str]) -> onnx.NodeProto:
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    rename_inputs(copy, table)
    return copy


def rename_inputs(node: onnx.NodeProto, table: dict[str, str]) -> None:
    for index, name in enumerate(node.input):
        node.input[index] = table.get(name, name)
    for attribute in node.attribute:
        for inner in attribute.g.node:
            rename_inputs(inner, table)


def copy_named(tensor: onnx.TensorProto, name: str) -> onnx.TensorProto:
    copy = onnx.TensorProto()
    copy.CopyFrom(tensor)
    copy.name = name
    return copy


def joined_opsets(*models: onnx.ModelProto) -> list[onnx.OperatorSetIdProto]:
    """The opsets of several graphs. Raises RecipeError if they differ."""
    versions: dict[str, int] = {}
    for model in models:
        for entry in model.opset_import:
            if versions.setdefault(entry.domain, entry.version) != entry.version:
                raise RecipeError("The graphs of encoder and decoder have different opsets. Export them together.")
    return [helper.make_opsetid(domain, version) for domain, version in versions.items()]


def cast_inputs(model: onnx.ModelProto) -> None:
    """Let inputs in half precision be float32."""
    graph, before = model.graph, []
    for value in graph.input:
        kind = value.type.tensor_type.elem_type
        if kind in FLOATS:
            for node in graph.node:
                rename_inputs(node, {value.name: f"{value.name}.given"})
            before.append(helper.make_node("Cast", [value.name], [f"{value.name}.given"], to=kind))
            value.type.tensor_type.elem_type = TensorProto.FLOAT
    nodes = [*before, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def tensor_names(prefix: str, layers: int) -> list[str]:
    return [f"{prefix}_{tensor}_{layer}" for layer in range(layers) for tensor in ("key", "value")]


def save(model: onnx.ModelProto, path: Path) -> None:
    onnx.save(model, str(path), save_as_external_data=True, location=f"{path.name}.data", size_threshold=1024)
