"""Pooling of token vectors in all the modes of sentence-transformers, and its dense layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

ACTIVATIONS = {"Tanh": nn.Tanh, "Identity": nn.Identity, "GELU": nn.GELU, "ReLU": nn.ReLU, "SiLU": nn.SiLU}


class PoolingNetwork(nn.Module):
    """Vectors (batch, dimensions) from tokens (batch, sequence, hidden) and their mask (batch, sequence).

    `layers` has the configuration and the weights of each dense layer. Raises ValueError for an unknown activation.
    """

    def __init__(self, methods: Sequence[str], layers: Sequence[tuple[dict[str, Any], dict[str, Tensor]]]) -> None:
        super().__init__()
        self.methods = tuple(methods)
        stack: list[nn.Module] = []
        for config, weights in layers:
            activation = str(config.get("activation_function", "Tanh")).rpartition(".")[2]
            if activation not in ACTIVATIONS:
                raise ValueError(f"the activation {activation} of a dense layer is not known")
            linear = nn.Linear(config["in_features"], config["out_features"], config.get("bias", True))
            linear.load_state_dict({name.removeprefix("linear."): value.float() for name, value in weights.items()})
            stack += [linear, ACTIVATIONS[activation]()]
        self.dense = nn.Sequential(*stack)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        vectors: Tensor = self.dense(torch.cat([pool(tokens, mask, method) for method in self.methods], 1))
        return vectors


def pool(tokens: Tensor, mask: Tensor, method: str) -> Tensor:
    """(batch, hidden)."""
    counted = mask.to(tokens.dtype).unsqueeze(2)  # (batch, sequence, 1)
    if method == "cls":
        return tokens[:, 0]
    if method == "last":
        positions = torch.arange(mask.shape[1], device=mask.device) * mask
        last = positions.argmax(1, keepdim=True).unsqueeze(2).expand(-1, 1, tokens.shape[2])
        return tokens.gather(1, last).squeeze(1)
    if method == "max":
        return (tokens * counted + (1 - counted) * -1e9).amax(1)
    if method == "weighted":
        counted = counted * torch.arange(1, mask.shape[1] + 1, device=mask.device).to(tokens.dtype)[None, :, None]
    total = (tokens * counted).sum(1)
    length = counted.sum(1).clamp(min=1e-9)
    return total / (length.sqrt() if method == "sqrt" else length)
