"""The graph of `hearth_build.networks.gpt.Decoder` with a key-value cache, written node by node.

One graph reads a prompt and goes on token by token. Keys and values lie in buffers of the caller's: each is bound as
`past` and as `present`, so that ONNX Runtime's GroupQueryAttention appends in place and nothing is copied.

Inputs: `input_ids` (1, n) int64, the tokens that are new; `total` (1) int32, tokens with them; `rows` (k) int64, which
of the n want logits; `past.<layer>.key` and `.value` (1, kv_heads, capacity, head_size). Outputs: `logits`
(k, vocabulary), and `present.<layer>.key` and `.value`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from hearth.models.manifest import Decoder as Head
from hearth_build.networks.gpt import Attention, Block, Decoder, FeedForward, Shape
from hearth_build.onnx_export.export import OPSET

MICROSOFT = "com.microsoft"
GELU = {"gelu": "Gelu", "gelu-tanh": "FastGelu"}


def head(shape: Shape, eos: tuple[int, ...] = (), bos: int | None = None, template: str | None = None) -> Head:
    """The manifest's description of what `write` writes."""
    return Head(shape.layers, shape.kv_heads, whole(shape.head_size), shape.context, eos, bos, template)


def write(network: nn.Module | None, path: Path) -> None:
    assert isinstance(network, Decoder)
    Writer(network if network.shape.head_size == whole(network.shape.head_size) else widened(network)).write(path)


def whole(head_size: int) -> int:
    """GroupQueryAttention takes heads of multiples of 16."""
    return -(-head_size // 16) * 16


def widened(network: Decoder) -> Decoder:
    """The same function with heads that are filled up with zeros."""
    shape = network.shape
    size, half, more = shape.head_size, shape.head_size // 2, whole(shape.head_size)
    wide = Decoder(replace(shape, head_size=more)).eval()
    # Each half apart: rotary positions pair number i of one half with number i of the other.
    places = torch.tensor([*range(half), *range(more // 2, more // 2 + size - half)])
    heads = shape.heads + 2 * shape.kv_heads
    weights = network.state_dict()
    for name, value in weights.items():
        if ".attention.qkv." in name:
            filled = torch.zeros(heads, more, *value.shape[1:])
            filled[:, places] = value.unflatten(0, (heads, size))
            filled[: shape.heads] *= (more / size) ** 0.5  # attention divides by the root of a head's size
            weights[name] = filled.flatten(0, 1)
        elif name.endswith(".attention.out.weight"):
            filled = torch.zeros(shape.width, shape.heads, more)
            filled[:, :, places] = value.unflatten(1, (shape.heads, size))
            weights[name] = filled.flatten(1)
    wide.load_state_dict(weights)
    wide.cosine.fill_(1)[:, :half] = network.cosine
    wide.sine.fill_(0)[:, :half] = network.sine
    return wide


class Writer:
    def __init__(self, network: Decoder) -> None:
        self.network, self.shape = network, network.shape
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[TensorProto] = []
        self.kinds: list[onnx.ValueInfoProto] = []
        """Of what comes out of matrices: the quantizer asks, and cannot infer it past Microsoft's operators."""

    def write(self, path: Path) -> None:
        shape = self.shape
        x = self.node("Gather", self.weight("tokens.weight", self.network.tokens.weight), "input_ids")
        if self.network.positions is not None:
            x = self.node("Add", x, self.learned_positions(self.network.positions.weight))
        else:
            self.weight("cosine", self.network.cosine)
            self.weight("sine", self.network.sine)
        self.node("Sub", "total", self.constant("one", np.array([1], np.int32)), name="last")
        for index, block in enumerate(self.network.blocks):
            assert isinstance(block, Block)
            x = self.block(f"blocks.{index}", index, block, x)
        # Before the last norm and matrix: a prompt's other tokens need no logits.
        x = self.node("Gather", x, "rows", axis=1)
        x = self.norm("norm", self.network.norm, x)
        matrix = self.network.tokens.weight if self.network.head is None else self.network.head.weight
        x = self.product("head", matrix, x)
        self.node("Squeeze", x, self.constant("axis", np.array([0])), name="logits")
        cache = (1, shape.kv_heads, "capacity", shape.head_size)
        names = [f"{layer}.{part}" for layer in range(shape.layers) for part in ("key", "value")]
        inputs = {"input_ids": ("int64", (1, "n")), "total": ("int32", (1,)), "rows": ("int64", ("k",))}
        graph = helper.make_graph(
            self.nodes,
            "decoder",
            [value(name, kind, dims) for name, (kind, dims) in inputs.items()]
            + [value(f"past.{name}", "float32", cache) for name in names],
            [value("logits", "float32", ("k", shape.vocabulary))]
            + [value(f"present.{name}", "float32", cache) for name in names],
            self.weights,
            value_info=self.kinds,
        )
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(MICROSOFT, 1)]
        onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), str(path))

    def block(self, name: str, index: int, block: Block, x: str) -> str:
        mixed = self.norm(f"{name}.before_attention", block.before_attention, x)
        x = self.node("Add", x, self.attention(f"{name}.attention", index, block.attention, mixed))
        fed = self.norm(f"{name}.before_feed_forward", block.before_feed_forward, x)
        return self.node("Add", x, self.feed_forward(f"{name}.feed_forward", block.feed_forward, fed))

    def attention(self, name: str, index: int, part: Attention, x: str) -> str:
        shape = self.shape
        rotary = shape.positions == "rotary"
        packed = self.linear(f"{name}.qkv", part.qkv, x)
        past = [f"past.{index}.{one}" for one in ("key", "value")]
        node = helper.make_node(
            "GroupQueryAttention",
            [packed, "", "", *past, "last", "total", *(["cosine", "sine"] if rotary else [])],
            [name, *(f"present.{index}.{one}" for one in ("key", "value"))],
            name=name,
            domain=MICROSOFT,
            num_heads=shape.heads,
            kv_num_heads=shape.kv_heads,
            do_rotary=int(rotary),
        )
        self.nodes.append(node)
        return self.linear(f"{name}.out", part.out, name)

    def feed_forward(self, name: str, part: FeedForward, x: str) -> str:
        x = self.linear(f"{name}.up", part.up, x)
        if part.activation == "swiglu":
            parts = [f"{name}.gate", f"{name}.gated"]
            self.nodes.append(helper.make_node("Split", [x], parts, name=f"{name}.split", axis=-1))
            x = self.node("Mul", self.node("QuickGelu", parts[0], domain=MICROSOFT, alpha=1.0), parts[1])
        else:
            x = self.node(GELU[part.activation], x, domain=MICROSOFT)
        return self.linear(f"{name}.down", part.down, x)

    def norm(self, name: str, part: nn.Module, x: str) -> str:
        weights = [self.weight(f"{name}.{key}", value) for key, value in part.state_dict().items()]
        kind = "SimplifiedLayerNormalization" if self.shape.norm == "rms" else "LayerNormalization"
        return self.node(kind, x, *weights, name=name, axis=-1, epsilon=self.shape.epsilon)

    def linear(self, name: str, part: nn.Linear, x: str) -> str:
        x = self.product(name, part.weight, x)
        return x if part.bias is None else self.node("Add", x, self.weight(f"{name}.bias", part.bias))

    def product(self, name: str, matrix: Tensor, x: str) -> str:
        """x @ matrix.T"""
        self.kinds.append(value(name, "float32", (1, None, len(matrix))))
        return self.node("MatMul", x, self.weight(f"{name}.weight", matrix.T), name=name)

    def learned_positions(self, matrix: Tensor) -> str:
        """Rows total - n to total."""
        total = self.node("Cast", self.node("Squeeze", "total"), to=TensorProto.INT64)
        new = self.node("Squeeze", self.node("Shape", "input_ids", start=1))
        step = self.constant("step", np.array(1))
        places = self.node("Range", self.node("Sub", total, new), total, step)
        return self.node("Gather", self.weight("positions.weight", matrix), places)

    def node(self, kind: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        name = name or f"{kind}.{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    def weight(self, name: str, values: Tensor) -> str:
        return self.constant(name, values.detach().float().contiguous().numpy())

    def constant(self, name: str, values: np.ndarray) -> str:
        self.weights.append(numpy_helper.from_array(values, name))
        return name


def value(name: str, kind: str, dims: tuple[int | str, ...]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(kind)), list(dims))
