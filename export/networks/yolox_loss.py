"""The training loss of a detector: the assignment of cells to boxes, and the error of classes and boxes.

Task-aligned assignment (TOOD, Feng et al. 2021): a box is assigned to the cells inside it whose class score and overlap
are best already. The better the overlap, the higher the target score.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from hearth_build.networks import yolox

CELLS_PER_BOX = 10
"""Largest number of cells that one box is assigned to."""
EPSILON = 1e-9


class GroundTruth(NamedTuple):
    """The annotated boxes of a batch, padded to the same number for each image."""

    boxes: Tensor  # (batch, boxes, 4), corners in pixels of the canvas
    classes: Tensor  # (batch, boxes) int64
    real: Tensor  # (batch, boxes) bool: False for padding


class Assignment(NamedTuple):
    """The targets of each cell."""

    boxes: Tensor  # (batch, cells, 4)
    scores: Tensor  # (batch, cells, classes)
    positive: Tensor  # (batch, cells) bool: whether the cell is assigned to a box


def iou(first: Tensor, second: Tensor) -> Tensor:
    """Return the intersection over union of boxes given as corners, (..., 4) with broadcasting."""
    sides = torch.minimum(first[..., 2:], second[..., 2:]) - torch.maximum(first[..., :2], second[..., :2])
    intersection = sides.clamp(min=0).prod(-1)
    return intersection / (area(first) + area(second) - intersection + EPSILON)


def area(boxes: Tensor) -> Tensor:
    return (boxes[..., 2:] - boxes[..., :2]).clamp(min=0).prod(-1)


def complete_iou(first: Tensor, second: Tensor) -> Tensor:
    """Return the complete IoU (Zheng et al. 2020): lower where centres are apart and where aspect ratios differ."""
    plain_iou = iou(first, second)
    hull = torch.maximum(first[..., 2:], second[..., 2:]) - torch.minimum(first[..., :2], second[..., :2])
    distance = (first[..., :2] + first[..., 2:] - second[..., :2] - second[..., 2:]).square().sum(-1) / 4
    first_size, second_size = (boxes[..., 2:] - boxes[..., :2] for boxes in (first, second))
    angles = torch.atan2(first_size[..., 0], first_size[..., 1]) - torch.atan2(second_size[..., 0], second_size[..., 1])
    aspect = angles.square() * 4 / math.pi**2
    with torch.no_grad():
        weight = aspect / (1 - plain_iou + aspect + EPSILON)
    return plain_iou - distance / (hull.square().sum(-1) + EPSILON) - weight * aspect


@torch.no_grad()
def assign(boxes: Tensor, scores: Tensor, centres: Tensor, truth: GroundTruth) -> Assignment:
    """Assign cells to annotated boxes.

    `boxes` are decoded, (batch, cells, 4); `scores` are (batch, cells, classes), the cells' `centres` (cells, 2).
    """
    cells, classes = scores.shape[1:]
    count = truth.classes.shape[1]
    low, high = truth.boxes[..., None, :2], truth.boxes[..., None, 2:]
    inside = ((centres > low) & (centres < high)).all(-1) & truth.real[..., None]  # (batch, boxes, cells)
    overlaps = iou(truth.boxes[:, :, None], boxes[:, None]) * inside
    class_scores = scores.transpose(1, 2).gather(1, truth.classes[..., None].expand(-1, -1, cells))
    alignment = class_scores.sqrt() * overlaps.pow(6)  # (batch, boxes, cells)
    best, indices = alignment.topk(CELLS_PER_BOX, -1)
    chosen = torch.zeros_like(alignment, dtype=torch.bool).scatter_(-1, indices, best > 0) & inside
    # A cell that was chosen for several boxes goes to the box that it overlaps most.
    candidates = torch.where(chosen, overlaps, -torch.ones_like(overlaps))
    owner = candidates.argmax(1)  # (batch, cells)
    positive = chosen.any(1)
    chosen &= functional.one_hot(owner, count).transpose(1, 2).bool()
    alignment = alignment * chosen
    peak = alignment.amax(-1, keepdim=True)
    target_scores = (alignment / (peak + EPSILON) * (overlaps * chosen).amax(-1, keepdim=True)).amax(1)
    labels = functional.one_hot(truth.classes.gather(1, owner), classes).float()
    target_boxes = truth.boxes.gather(1, owner[..., None].expand(-1, -1, 4))
    return Assignment(target_boxes, labels * (target_scores * positive)[..., None], positive)


def loss(boxes: Tensor, logits: Tensor, centres: Tensor, truth: GroundTruth) -> Tensor:
    """Return the loss of decoded boxes, (batch, cells, 4), and class logits, (batch, cells, classes)."""
    assigned = assign(boxes.detach(), logits.detach().sigmoid(), centres, truth)
    total = assigned.scores.sum().clamp(min=1)
    classes = functional.binary_cross_entropy_with_logits(logits, assigned.scores, reduction="sum")
    weight = assigned.scores.sum(-1)[assigned.positive]
    overlaps = complete_iou(boxes[assigned.positive], assigned.boxes[assigned.positive])
    return (classes + 5 * ((1 - overlaps) * weight).sum()) / total


def of_batches(width: int, height: int) -> Callable[[nn.Module, dict[str, Tensor]], Tensor]:
    """Return the loss of a Yolo for batches of `pixels` on a canvas of this size, `boxes`, `classes` and `real`."""
    cells, strides = yolox.grid(width, height)

    def batch_loss(network: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        assert isinstance(network, yolox.Yolo)
        boxes, logits = network.raw(batch["pixels"])
        truth = GroundTruth(batch["boxes"], batch["classes"], batch["real"])
        return loss(yolox.decode(boxes, cells, strides), logits, (cells + 0.5) * strides, truth)

    return batch_loss
