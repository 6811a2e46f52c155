"""Attention of transformers' models as one operator of ONNX Runtime.

transformers lets an implementation of attention be registered by name. This one is used while a graph is exported: it
writes MultiHeadAttention, which takes five to fifteen per cent less time than the multiplications that transformers'
own implementations become.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx.experimental.symbolic_shapes import statically_known_true
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface, eager_mask

NAME = "onnx"
REFERENCE = "eager"
IGNORED = {"dropout", "is_causal", "output_attentions", "sliding_window", "use_cache"}
"""Arguments that do not change the result: sliding windows are in the mask."""


def attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    position_bias: Tensor | None = None,
    **arguments: Any,
) -> tuple[Tensor, None]:
    """(batch, heads, queries, size) and keys and values (batch, their heads, keys, size) -> (batch, queries, heads,
    size). Raises NotImplementedError for arguments that change the result, such as soft caps."""
    unknown = sorted(name for name, given in arguments.items() if given is not None and name not in IGNORED)
    unknown = [name for name in unknown if name in ("softcap", "s_aux", "sinks")]
    if unknown:
        raise NotImplementedError(f"attention with {', '.join(unknown)}")
    rows, heads, queries, size = query.shape
    if key.shape[1] != heads:  # groups of heads share keys and values
        key, value = (tensor.repeat_interleave(heads // tensor.shape[1], 1) for tensor in (key, value))
    bias = attention_mask
    if position_bias is not None:
        bias = position_bias if bias is None else position_bias + bias
    query = query.transpose(1, 2).flatten(2)  # (rows, queries, heads x size)
    batch = rows
    if not statically_known_true(key.shape[0] == rows):  # the beams of a source are queries of one attention
        batch = key.shape[0]
        query = query.reshape(batch, -1, query.shape[2])
        bias = None if bias is None else bias.expand(-1, -1, query.shape[1], -1)
    attended = torch.onnx.ops.symbolic(
        "com.microsoft::MultiHeadAttention",
        [query, key, value, None, None, bias],
        attrs={"num_heads": heads, "scale": float(size**-0.5 if scaling is None else scaling)},
        dtype=query.dtype,
        shape=(batch, query.shape[1], heads * value.shape[3]),
        version=1,
    )
    return attended.reshape(rows, queries, heads, value.shape[3]), None


@contextmanager
def fused(network: nn.Module) -> Iterator[None]:
    """Let all transformers' models inside `network` use the operator. Models without the interface stay as they are."""
    AttentionInterface.register(NAME, attention)
    AttentionMaskInterface.register(NAME, eager_mask)
    configs = [module.config for module in network.modules() if hasattr(module, "config")]
    changed = [config for config in configs if getattr(config, "_attn_implementation", None) == REFERENCE]
    for config in changed:
        config._attn_implementation = NAME
    try:
        yield
    finally:
        for config in changed:
            config._attn_implementation = REFERENCE
