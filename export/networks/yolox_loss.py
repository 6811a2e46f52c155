"""What a detector learns from: which cells answer for which box, and how wrong they are.

Task-aligned assignment (TOOD, Feng et al. 2021): a box is given to those cells inside it whose own class score and
overlap are best already; the better the overlap, the surer the cell should be.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

CELLS_A_BOX = 10
TINY = 1e-9


class Truth(NamedTuple):
    """The boxes of a batch, padded to as many a picture."""

    boxes: Tensor  # (batch, most, 4), corners in pixels of the canvas
    classes: Tensor  # (batch, most) int64
    real: Tensor  # (batch, most) bool


class Assigned(NamedTuple):
    boxes: Tensor  # (batch, cells, 4): what each cell should find
    scores: Tensor  # (batch, cells, classes): how sure of what it should be
    taken: Tensor  # (batch, cells) bool: whether it should find anything


def overlap(first: Tensor, second: Tensor) -> Tensor:
    """Intersection over union of corners (..., 4) that broadcast."""
    sides = torch.minimum(first[..., 2:], second[..., 2:]) - torch.maximum(first[..., :2], second[..., :2])
    shared = sides.clamp(min=0).prod(-1)
    return shared / (area(first) + area(second) - shared + TINY)


def area(boxes: Tensor) -> Tensor:
    return (boxes[..., 2:] - boxes[..., :2]).clamp(min=0).prod(-1)


def complete(first: Tensor, second: Tensor) -> Tensor:
    """Complete IoU (Zheng et al. 2020): less where centres are apart and where proportions differ."""
    plain = overlap(first, second)
    hull = torch.maximum(first[..., 2:], second[..., 2:]) - torch.minimum(first[..., :2], second[..., :2])
    apart = (first[..., :2] + first[..., 2:] - second[..., :2] - second[..., 2:]).square().sum(-1) / 4
    one, other = (pair[..., 2:] - pair[..., :2] for pair in (first, second))
    angles = torch.atan2(one[..., 0], one[..., 1]) - torch.atan2(other[..., 0], other[..., 1])
    shape = angles.square() * 4 / math.pi**2
    with torch.no_grad():
        weight = shape / (1 - plain + shape + TINY)
    return plain - apart / (hull.square().sum(-1) + TINY) - weight * shape


@torch.no_grad()
def assign(boxes: Tensor, scores: Tensor, centres: Tensor, truth: Truth) -> Assigned:
    """Decoded boxes (batch, cells, 4), scores (batch, cells, classes) and the cells' centres (cells, 2)."""
    cells, classes = scores.shape[1:]
    most = truth.classes.shape[1]
    low, high = truth.boxes[..., None, :2], truth.boxes[..., None, 2:]
    inside = ((centres > low) & (centres < high)).all(-1) & truth.real[..., None]  # (batch, most, cells)
    overlaps = overlap(truth.boxes[:, :, None], boxes[:, None]) * inside
    own = scores.transpose(1, 2).gather(1, truth.classes[..., None].expand(-1, -1, cells))
    alignment = own.sqrt() * overlaps.pow(6)  # (batch, most, cells)
    best, places = alignment.topk(CELLS_A_BOX, -1)
    chosen = torch.zeros_like(alignment, dtype=torch.bool).scatter_(-1, places, best > 0) & inside
    # A cell that several boxes want goes to the one that it overlaps most.
    rivals = torch.where(chosen, overlaps, -torch.ones_like(overlaps))
    owner = rivals.argmax(1)  # (batch, cells)
    taken = chosen.any(1)
    chosen &= functional.one_hot(owner, most).transpose(1, 2).bool()
    alignment = alignment * chosen
    peak = alignment.amax(-1, keepdim=True)
    sureness = (alignment / (peak + TINY) * (overlaps * chosen).amax(-1, keepdim=True)).amax(1)  # (batch, cells)
    labels = functional.one_hot(truth.classes.gather(1, owner), classes).float()
    wanted = truth.boxes.gather(1, owner[..., None].expand(-1, -1, 4))
    return Assigned(wanted, labels * (sureness * taken)[..., None], taken)


def loss(boxes: Tensor, logits: Tensor, centres: Tensor, truth: Truth) -> Tensor:
    """Of decoded boxes (batch, cells, 4) and class logits (batch, cells, classes)."""
    assigned = assign(boxes.detach(), logits.detach().sigmoid(), centres, truth)
    total = assigned.scores.sum().clamp(min=1)
    classes = functional.binary_cross_entropy_with_logits(logits, assigned.scores, reduction="sum")
    weight = assigned.scores.sum(-1)[assigned.taken]
    shapes = ((1 - complete(boxes[assigned.taken], assigned.boxes[assigned.taken])) * weight).sum()
    return (classes + 5 * shapes) / total
