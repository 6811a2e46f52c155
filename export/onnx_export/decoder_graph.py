"""The graph of `hearth_build.networks.gpt.Decoder` with a key-value cache, written node by node.

One graph both processes the prompt and generates token by token. Keys and values are in buffers of the caller. Each
buffer is bound as `past` and as `present`, so that ONNX Runtime's GroupQueryAttention appends in place, without copies.

Inputs: `input_ids` (1, n) int64, the new tokens; `total` (1) int32, the number of all tokens including the new ones;
`rows` (k) int64, the indices of the new tokens that need logits; `past.<layer>.key` and `.value`
(1, kv_heads, capacity, head_size). Outputs: `logits` (k, vocabulary), `present.<layer>.key` and `.value`.
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
GELU_OPERATORS = {"gelu": "Gelu", "gelu-tanh": "FastGelu"}


def head(shape: Shape, eos: tuple[int, ...] = (), bos: int | None = None, template: str | None = None) -> Head:
    """Return the manifest's description of the graph that `write` writes."""
    return Head(shape.layers, shape.kv_heads, padded_head_size(shape.head_size), shape.context, eos, bos, template)


def write(network: nn.Module | None, path: Path) -> None:
    """Write the graph of the network to `path`."""
    assert isinstance(network, Decoder)
    if network.shape.head_size != padded_head_size(network.shape.head_size):
        network = pad_heads(network)
    GraphWriter(network).write(path)


def padded_head_size(head_size: int) -> int:
    """Round up to a multiple of 16, which GroupQueryAttention requires."""
    return -(-head_size // 16) * 16


def pad_heads(network: Decoder) -> Decoder:
    """Return an equivalent network whose heads are padded with zeros."""
    shape = network.shape
    size, half, padded_size = shape.head_size, shape.head_size // 2, padded_head_size(shape.head_size)
    padded = Decoder(replace(shape, head_size=padded_size)).eval()
    # The halves are padded separately: rotary positions pair index i of one half with index i of the other.
    indices = torch.tensor([*range(half), *range(padded_size // 2, padded_size // 2 + size - half)])
    heads = shape.heads + 2 * shape.kv_heads
    weights = network.state_dict()
    for name, value in weights.items():
        if ".attention.qkv." in name:
            matrix = torch.zeros(heads, padded_size, *value.shape[1:])
            matrix[:, indices] = value.unflatten(0, (heads, size))
            matrix[: shape.heads] *= (padded_size / size) ** 0.5  # attention divides by the root of the head size
            weights[name] = matrix.flatten(0, 1)
        elif name.endswith(".attention.out.weight"):
            matrix = torch.zeros(shape.width, shape.heads, padded_size)
            matrix[:, :, indices] = value.unflatten(1, (shape.heads, size))
            weights[name] = matrix.flatten(1)
    padded.load_state_dict(weights)
    padded.cosine.fill_(1)[:, :half] = network.cosine
    padded.sine.fill_(0)[:, :half] = network.sine
    return padded


class GraphWriter:
    def __init__(self, network: Decoder) -> None:
        self.network, self.shape = network, network.shape
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[TensorProto] = []
        self.value_info: list[onnx.ValueInfoProto] = []
        """Types of the matrix products. The quantizer needs them and cannot infer them past Microsoft's operators."""

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
        # Selected before the last norm and matrix: most tokens of a prompt need no logits.
        x = self.node("Gather", x, "rows", axis=1)
        x = self.norm("norm", self.network.norm, x)
        matrix = self.network.tokens.weight if self.network.head is None else self.network.head.weight
        x = self.product("head", matrix, x)
        self.node("Squeeze", x, self.constant("axis", np.array([0])), name="logits")
        cache = (1, shape.kv_heads, "capacity", shape.head_size)
        names = [f"{layer}.{tensor}" for layer in range(shape.layers) for tensor in ("key", "value")]
        inputs = {"input_ids": ("int64", (1, "n")), "total": ("int32", (1,)), "rows": ("int64", ("k",))}
        graph = helper.make_graph(
            self.nodes,
            "decoder",
            [tensor_info(name, dtype, dims) for name, (dtype, dims) in inputs.items()]
            + [tensor_info(f"past.{name}", "float32", cache) for name in names],
            [tensor_info("logits", "float32", ("k", shape.vocabulary))]
            + [tensor_info(f"present.{name}", "float32", cache) for name in names],
            self.weights,
            value_info=self.value_info,
        )
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(MICROSOFT, 1)]
        onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), str(path))

    def block(self, name: str, index: int, block: Block, x: str) -> str:
        normed = self.norm(f"{name}.before_attention", block.before_attention, x)
        x = self.node("Add", x, self.attention(f"{name}.attention", index, block.attention, normed))
        normed = self.norm(f"{name}.before_feed_forward", block.before_feed_forward, x)
        return self.node("Add", x, self.feed_forward(f"{name}.feed_forward", block.feed_forward, normed))

    def attention(self, name: str, index: int, module: Attention, x: str) -> str:
        shape = self.shape
        is_rotary = shape.positions == "rotary"
        packed = self.linear(f"{name}.qkv", module.qkv, x)
        past, present = ([f"{prefix}.{index}.key", f"{prefix}.{index}.value"] for prefix in ("past", "present"))
        node = helper.make_node(
            "GroupQueryAttention",
            [packed, "", "", *past, "last", "total", *(["cosine", "sine"] if is_rotary else [])],
            [name, *present],
            name=name,
            domain=MICROSOFT,
            num_heads=shape.heads,
            kv_num_heads=shape.kv_heads,
            do_rotary=int(is_rotary),
        )
        self.nodes.append(node)
        return self.linear(f"{name}.out", module.out, name)

    def feed_forward(self, name: str, module: FeedForward, x: str) -> str:
        x = self.linear(f"{name}.up", module.up, x)
        if module.activation == "swiglu":
            gate, gated = f"{name}.gate", f"{name}.gated"
            self.nodes.append(helper.make_node("Split", [x], [gate, gated], name=f"{name}.split", axis=-1))
            x = self.node("Mul", self.node("QuickGelu", gate, domain=MICROSOFT, alpha=1.0), gated)
        else:
            x = self.node(GELU_OPERATORS[module.activation], x, domain=MICROSOFT)
        return self.linear(f"{name}.down", module.down, x)

    def norm(self, name: str, module: nn.Module, x: str) -> str:
        weights = [self.weight(f"{name}.{key}", value) for key, value in module.state_dict().items()]
        operator = "SimplifiedLayerNormalization" if self.shape.norm == "rms" else "LayerNormalization"
        return self.node(operator, x, *weights, name=name, axis=-1, epsilon=self.shape.epsilon)

    def linear(self, name: str, module: nn.Linear, x: str) -> str:
        x = self.product(name, module.weight, x)
        return x if module.bias is None else self.node("Add", x, self.weight(f"{name}.bias", module.bias))

    def product(self, name: str, matrix: Tensor, x: str) -> str:
        """Write x @ matrix.T."""
        self.value_info.append(tensor_info(name, "float32", (1, None, len(matrix))))
        return self.node("MatMul", x, self.weight(f"{name}.weight", matrix.T), name=name)

    def learned_positions(self, matrix: Tensor) -> str:
        """Write the lookup of the new tokens' positions, the rows from total - n to total."""
        total = self.node("Cast", self.node("Squeeze", "total"), to=TensorProto.INT64)
        count = self.node("Squeeze", self.node("Shape", "input_ids", start=1))
        step = self.constant("step", np.array(1))
        positions = self.node("Range", self.node("Sub", total, count), total, step)
        return self.node("Gather", self.weight("positions.weight", matrix), positions)

    def node(self, operator: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        """Append a node of one output and return the name of the output, which is also the name of the node."""
        name = name or f"{operator}.{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], name=name, **attributes))
        return name

    def weight(self, name: str, values: Tensor) -> str:
        return self.constant(name, values.detach().float().contiguous().numpy())

    def constant(self, name: str, values: np.ndarray) -> str:
        self.weights.append(numpy_helper.from_array(values, name))
        return name


def tensor_info(name: str, dtype: str, dims: tuple[int | str | None, ...]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), list(dims))
