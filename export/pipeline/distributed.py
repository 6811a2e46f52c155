"""Several processes that train one network, as `torchrun` starts them.

Each process computes the gradients of its part of each batch; what depends on the clock is decided by the first one.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import distributed, nn

T = TypeVar("T")


def start() -> None:
    """Join the other processes, if torchrun has started several."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not distributed.is_initialized():
        distributed.init_process_group("gloo")


def size() -> int:
    """The number of processes."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def rank() -> int:
    """The number of this process; the first one writes what is kept."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def agree(value: T) -> T:
    """The value of the first process. All processes must call it."""
    if size() == 1:
        return value
    values = [value]
    distributed.broadcast_object_list(values, 0)
    return values[0]


def share(indices: Sequence[int]) -> tuple[list[int], float]:
    """The part of a batch for this process, and the weight of its loss: parts may differ by one example."""
    if len(indices) < size():
        return list(indices), 1.0
    part = list(indices[rank() :: size()])
    return part, len(part) * size() / len(indices)


def average_gradients(network: nn.Module) -> None:
    average([parameter.grad for parameter in network.parameters() if parameter.grad is not None])


def average_buffers(network: nn.Module) -> None:
    """Average statistics such as those of batch norm, which each process computes of its own examples."""
    average([buffer for buffer in network.buffers() if buffer.is_floating_point()])


@torch.no_grad()
def average(tensors: Sequence[torch.Tensor]) -> None:
    if size() == 1 or not tensors:
        return
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    distributed.all_reduce(flat)
    flat /= size()
    for tensor, part in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
        tensor.copy_(part.view_as(tensor))
