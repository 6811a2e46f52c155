"""The graph of a decoder-only transformer with a key-value cache, written node by node.

One graph both processes the prompt and generates token by token. Keys and values are in buffers of the caller. Each
buffer is bound as `past` and as `present`, so that ONNX Runtime's GroupQueryAttention appends in place, without copies.

Inputs: `input_ids` (1, n) int64, the new tokens; `total` (1) int32, the number of all tokens including the new ones;
`rows` (k) int64, the indices of the new tokens that need logits; `past.<layer>.key` and `.value`
(1, kv_heads, capacity, head_size). Outputs: `logits` (k, vocabulary), `present.<layer>.key` and `.value`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper
from torch import nn

from hearth.models.heads import Decoder as Head
from hearth_build.networks.gpt import Decoder
from hearth_build.onnx_export.decoder_architecture import (
    Architecture,
    RotaryTable,
    alibi_slopes,
    architecture_of,
    head_order,
    padded_head_size,
)
from hearth_build.onnx_export.decoder_matrices import Inputs, Matrices, Precision
from hearth_build.onnx_export.graph_file import MICROSOFT, GraphFile, tensor_info

Weights = Callable[[str], "np.ndarray | None"]
"""Name -> float32 weight, or None: a bias, norm or output matrix without weights is not in the graph.

Names are `tokens.weight`, `positions.weight`, `embedding_norm.*`, `blocks.<layer>.<part>.*`, `norm.*` and `head.*`; the
parts of a block are `before_attention`, `attention.qkv`, `attention.query_norm`, `attention.key_norm`, `attention.out`,
`after_attention`, `before_feed_forward`, `feed_forward.up`, `feed_forward.down` and `after_feed_forward`. Matrices are
(outputs, inputs); of a gated network, `up` has the rows of the gate first. Without `head.weight`, the embedding is also
the output matrix.
"""


def head(
    architecture: Architecture,
    eos: tuple[int, ...] = (),
    bos: int | None = None,
    template: str | None = None,
    *,
    reusable: bool = False,
) -> Head:
    """Return the manifest's description of the graph; `reusable` unless the recipe's quantizer is DynamicInt8."""
    size = padded_head_size(architecture.head_size)
    return Head(architecture.layers, architecture.kv_heads, size, architecture.context, eos, bos, template, reusable)


def write(network: nn.Module | None, path: Path) -> None:
    """Write the fp32 graph of a network, which the quantizer then reads."""
    assert isinstance(network, Decoder)
    weights = {name: value.numpy() for name, value in network.state_dict().items()}
    weights.setdefault("head.weight", weights["tokens.weight"])  # the quantizer treats embedding and output apart
    write_decoder(architecture_of(network.shape), weights.get, path)


def write_decoder(
    architecture: Architecture,
    weights: Weights,
    path: Path,
    precision: Precision = "fp32",
    inputs: Inputs = lambda name: None,
    progress: Callable[[str], None] = lambda part: None,
) -> None:
    """Write the graph to `path` and its weights beside it; only one matrix is in memory at a time.

    `inputs` are those of each matrix, by which 4 bits are rounded.
    `progress` gets the name of each part before it is written.
    """
    with GraphFile(path) as graph:
        DecoderWriter(architecture, weights, graph, precision, inputs, progress).write()


class DecoderWriter:
    def __init__(
        self,
        architecture: Architecture,
        weights: Weights,
        graph: GraphFile,
        precision: Precision,
        inputs: Inputs,
        progress: Callable[[str], None],
    ) -> None:
        self.architecture, self.weights, self.graph, self.progress = architecture, weights, graph, progress
        self.inputs = inputs
        self.matrices = Matrices(graph, precision, self.ordered_inputs)
        self.size = padded_head_size(architecture.head_size)
        rotated = next((2 * table.cosine.shape[1] for table in architecture.rotary.values()), 0)
        order = head_order(architecture, rotated)
        is_identity = self.size == architecture.head_size and (order == np.arange(self.size)).all()
        self.order = None if is_identity else order
        self.pads = self.size != architecture.head_size

    def write(self) -> None:
        architecture, graph = self.architecture, self.graph
        x = self.embedding()
        graph.node("Sub", "total", graph.constant("one", np.array([1], np.int32)), name="last")
        for name, table in architecture.rotary.items():
            self.rotary_table(name, table)
        if architecture.alibi:
            self.alibi()
        for index in range(architecture.layers):
            self.progress(f"layer {index + 1} of {architecture.layers}")
            x = self.block(f"blocks.{index}", index, x)
        # Selected before the last norm and matrix: most tokens of a prompt need no logits.
        x = graph.node("Gather", x, "rows", axis=1)
        x = self.norm("norm", x)
        self.progress("output matrix")
        self.logits(x)
        cache = (1, architecture.kv_heads, "capacity", self.size)
        names = [f"{layer}.{tensor}" for layer in range(architecture.layers) for tensor in ("key", "value")]
        inputs = {"input_ids": ("int64", (1, "n")), "total": ("int32", (1,)), "rows": ("int64", ("k",))}
        graph.save(
            [tensor_info(name, dtype, dims) for name, (dtype, dims) in inputs.items()]
            + [tensor_info(f"past.{name}", "float32", cache) for name in names],
            [tensor_info("logits", "float32", ("k", architecture.vocabulary))]
            + [tensor_info(f"present.{name}", "float32", cache) for name in names],
        )

    def embedding(self) -> str:
        architecture, graph = self.architecture, self.graph
        self.progress("embedding")
        matrix = self.required("tokens.weight")
        x = self.matrices.embedding("tokens.weight", matrix, "input_ids")
        if architecture.embedding_multiplier != 1:
            x = self.multiplied(x, architecture.embedding_multiplier, "embedding_multiplier")
        positions = self.weights("positions.weight")
        if positions is not None:
            x = graph.node("Add", x, self.learned_positions(positions))
        return self.norm("embedding_norm", x)

    def logits(self, x: str) -> None:
        architecture, graph = self.architecture, self.graph
        untied = self.weights("head.weight")
        matrix = self.required("tokens.weight") if untied is None else untied
        name = "tokens" if untied is None else "head"
        x = self.matrices.output(name, matrix, x)
        x = self.bias("head", x)
        if architecture.logit_multiplier != 1:
            x = self.multiplied(x, architecture.logit_multiplier, "logit_multiplier")
        if cap := architecture.logit_cap:
            x = graph.node("Tanh", self.multiplied(x, 1 / cap, "logit_scale"))
            x = self.multiplied(x, cap, "logit_cap")
        graph.node("Squeeze", x, graph.constant("axis", np.array([0])), name="logits")

    def block(self, name: str, index: int, x: str) -> str:
        graph = self.graph
        normed = self.norm(f"{name}.before_attention", x)
        attended = self.attention(f"{name}.attention", index, normed)
        attended = self.norm(f"{name}.after_attention", attended)
        if self.architecture.parallel:
            # Without a norm of its own, the feed-forward network reads what attention reads.
            fed = self.norm(f"{name}.before_feed_forward", x)
            fed = self.feed_forward(f"{name}.feed_forward", normed if fed == x else fed)
            return graph.node("Add", graph.node("Add", x, attended), fed)
        x = graph.node("Add", x, attended)
        fed = self.feed_forward(f"{name}.feed_forward", self.norm(f"{name}.before_feed_forward", x))
        return graph.node("Add", x, self.norm(f"{name}.after_feed_forward", fed))

    def attention(self, name: str, index: int, x: str) -> str:
        architecture, graph = self.architecture, self.graph
        heads = architecture.heads + 2 * architecture.kv_heads
        matrix = self.in_order(self.required(f"{name}.qkv.weight"), heads)
        packed = self.matrices.product(f"{name}.qkv", matrix, x)
        packed = self.bias(f"{name}.qkv", packed, heads)
        query_key_value = [packed, "", ""]
        if self.weights(f"{name}.query_norm.weight") is not None:
            query_key_value = self.normed_heads(name, packed)
        rotary = architecture.layer_rotary[index] if architecture.layer_rotary else ""
        tables = [f"{rotary}.cosine", f"{rotary}.sine"] if rotary else ["", ""]
        past, present = ([f"{prefix}.{index}.key", f"{prefix}.{index}.value"] for prefix in ("past", "present"))
        inputs = [*query_key_value, *past, "last", "total", *tables, "", "alibi" if architecture.alibi else ""]
        while not inputs[-1]:
            inputs.pop()
        graph.nodes.append(
            helper.make_node(
                "GroupQueryAttention",
                inputs,
                [name, *present],
                name=name,
                domain=MICROSOFT,
                num_heads=architecture.heads,
                kv_num_heads=architecture.kv_heads,
                do_rotary=int(bool(rotary)),
                **self.attention_options(index),
            )
        )
        out = self.required(f"{name}.out.weight")
        if self.order is not None:
            out = self.in_order(np.ascontiguousarray(out.T), architecture.heads).T
        out = np.ascontiguousarray(out) * np.float32(architecture.residual_multiplier)
        return self.bias(f"{name}.out", self.matrices.product(f"{name}.out", out, name), residual=True)

    def ordered_inputs(self, name: str) -> np.ndarray | None:
        """The inputs of a matrix (tokens, inputs), in the order in which the graph has them."""
        values = self.inputs(name)
        if values is None or not name.endswith(".attention.out"):
            return values
        return self.in_order(values.T, self.architecture.heads).T

    def attention_options(self, index: int) -> dict[str, float | int]:
        """Attributes of GroupQueryAttention that differ from its defaults."""
        architecture = self.architecture
        options: dict[str, float | int] = {}
        if architecture.scale is not None or self.pads:
            options["scale"] = float(architecture.scale or architecture.head_size**-0.5)
        if architecture.score_cap:
            options["softcap"] = float(architecture.score_cap)
        if architecture.windows and architecture.windows[index]:
            options["local_window_size"] = architecture.windows[index]
        return options

    def normed_heads(self, name: str, packed: str) -> list[str]:
        """Split query, key and value, and normalise each query and key."""
        architecture, graph = self.architecture, self.graph
        sizes = [heads * self.size for heads in (architecture.heads, *(architecture.kv_heads,) * 2)]
        names = [f"{name}.query", f"{name}.key", f"{name}.value"]
        lengths = graph.constant("qkv_sizes", np.array(sizes))
        graph.nodes.append(helper.make_node("Split", [packed, lengths], names, name=f"{name}.split", axis=-1))
        for number, (part, heads) in enumerate((("query", architecture.heads), ("key", architecture.kv_heads))):
            weight = self.required(f"{name}.{part}_norm.weight")
            per_head = weight.size == architecture.head_size
            x = names[number]
            if per_head:
                x = graph.node("Reshape", x, graph.constant(f"{part}_heads", np.array([1, -1, heads, self.size])))
            # Padding adds nothing to the sum of squares but counts in their mean.
            ratio = architecture.head_size / self.size
            weight = self.in_order(weight, 1 if per_head else heads) * np.float32(ratio**0.5)
            weight_name = graph.constant(f"{name}.{part}_norm.weight", weight)
            epsilon = architecture.epsilon * ratio
            x = graph.node("SimplifiedLayerNormalization", x, weight_name, axis=-1, epsilon=epsilon, stash_type=1)
            if per_head:
                x = graph.node("Reshape", x, graph.constant(f"{part}_width", np.array([1, -1, heads * self.size])))
            names[number] = x
        return names

    def feed_forward(self, name: str, x: str) -> str:
        architecture, graph = self.architecture, self.graph
        x = self.matrices.product(f"{name}.up", self.required(f"{name}.up.weight"), x)
        x = self.bias(f"{name}.up", x)
        if architecture.gated:
            gate, gated = f"{name}.gate", f"{name}.gated"
            graph.nodes.append(helper.make_node("Split", [x], [gate, gated], name=f"{name}.split", axis=-1))
            x = graph.node("Mul", self.activation(gate), gated)
        else:
            x = self.activation(x)
        matrix = self.required(f"{name}.down.weight") * np.float32(architecture.residual_multiplier)
        return self.bias(f"{name}.down", self.matrices.product(f"{name}.down", matrix, x), residual=True)

    def activation(self, x: str) -> str:
        match self.architecture.activation:
            case "silu":
                return self.graph.node("QuickGelu", x, domain=MICROSOFT, alpha=1.0)
            case "relu":
                return self.graph.node("Relu", x)
            case "gelu":
                return self.graph.node("Gelu", x, domain=MICROSOFT)
            case "gelu-tanh":
                return self.graph.node("FastGelu", x, domain=MICROSOFT)

    def norm(self, name: str, x: str) -> str:
        """The norm of x, or x where there is none."""
        weight, bias = self.weights(f"{name}.weight"), self.weights(f"{name}.bias")
        if weight is None:
            return x
        if self.architecture.norm == "rms":
            weight_name = self.graph.constant(f"{name}.weight", weight)
            epsilon = self.architecture.epsilon
            return self.graph.node(
                "SimplifiedLayerNormalization", x, weight_name, name=name, axis=-1, epsilon=epsilon, stash_type=1
            )
        names = [self.graph.constant(f"{name}.weight", weight)]
        if bias is not None:
            names.append(self.graph.constant(f"{name}.bias", bias))
        return self.graph.node("LayerNormalization", x, *names, name=name, axis=-1, epsilon=self.architecture.epsilon)

    def bias(self, name: str, x: str, heads: int = 0, *, residual: bool = False) -> str:
        """x plus the bias, if there is one; its values belong to `heads` heads."""
        bias = self.weights(f"{name}.bias")
        if bias is None:
            return x
        if heads:
            bias = self.in_order(bias, heads)
        if residual:
            bias = bias * np.float32(self.architecture.residual_multiplier)
        return self.graph.node("Add", x, self.graph.constant(f"{name}.bias", bias))

    def in_order(self, values: np.ndarray, heads: int) -> np.ndarray:
        """Move the rows (heads * head_size, ...) to their places in the padded heads."""
        if self.order is None:
            return values
        moved = np.zeros((heads, self.size, *values.shape[1:]), np.float32)
        moved[:, self.order] = values.reshape(heads, self.architecture.head_size, *values.shape[1:])
        return moved.reshape(heads * self.size, *values.shape[1:])

    def rotary_table(self, name: str, table: RotaryTable) -> None:
        padding = ((0, 0), (0, self.size // 2 - table.cosine.shape[1]))
        self.graph.constant(f"{name}.cosine", np.pad(table.cosine, padding, constant_values=1))
        self.graph.constant(f"{name}.sine", np.pad(table.sine, padding))

    def alibi(self) -> None:
        """Write `alibi` (1, heads, n, total): the position of each key times the slope of each head."""
        graph = self.graph
        slopes = alibi_slopes(self.architecture.heads).reshape(1, -1, 1, 1)
        total = graph.node("Cast", graph.node("Squeeze", "total"), to=TensorProto.INT64)
        zero, step = graph.constant("zero", np.array(0)), graph.constant("step", np.array(1))
        positions = graph.node("Cast", graph.node("Range", zero, total, step), to=TensorProto.FLOAT)
        bias = graph.node("Mul", graph.constant("slopes", slopes), positions)  # (1, heads, 1, total)
        ones = graph.constant("ones", np.array([1, 1], np.int64))
        count = graph.node("Shape", "input_ids", start=1)
        shape = graph.node("Concat", ones, count, graph.constant("last_one", np.array([1])), axis=0)
        graph.node("Expand", bias, shape, name="alibi")

    def learned_positions(self, matrix: np.ndarray) -> str:
        """Write the lookup of the new tokens' positions, the rows from total - n to total."""
        graph = self.graph
        total = graph.node("Cast", graph.node("Squeeze", "total"), to=TensorProto.INT64)
        count = graph.node("Squeeze", graph.node("Shape", "input_ids", start=1))
        step = graph.constant("step", np.array(1))
        positions = graph.node("Range", graph.node("Sub", total, count), total, step)
        return graph.node("Gather", graph.constant("positions.weight", matrix), positions)

    def multiplied(self, x: str, factor: float, name: str) -> str:
        return self.graph.node("Mul", x, self.graph.constant(name, np.array(factor, np.float32)))

    def required(self, name: str) -> np.ndarray:
        values = self.weights(name)
        if values is None:
            raise KeyError(f"the checkpoint has no {name}")
        return values
