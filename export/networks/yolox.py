"""A small anchor-free detector: a CSP backbone, three levels joined from the top down, two short branches a level.

The parts are those of the YOLO family (CSP blocks and the grid's decoding as in YOLOX, Ge et al. 2021; the loss as in
TOOD, Feng et al. 2021), narrow enough to learn from scratch on one core. ReLU throughout: int8 costs it nothing.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

STRIDES = (8, 16, 32)
PRIOR = 0.01
"""What a class's score is before anything was learnt."""


class Conv(nn.Sequential):
    def __init__(self, before: int, after: int, kernel: int = 3, stride: int = 1) -> None:
        padding = (kernel - stride + 1) // 2 if kernel > 3 else kernel // 2
        super().__init__(
            nn.Conv2d(before, after, kernel, stride, padding, bias=False),
            nn.BatchNorm2d(after, eps=1e-3, momentum=0.03),
            nn.ReLU(inplace=True),
        )


class Cross(nn.Module):
    """Half of the channels pass residual blocks, half do not; every block's outcome is joined."""

    def __init__(self, width: int, blocks: int) -> None:
        super().__init__()
        self.half = width // 2
        self.enter = Conv(width, width, 1)
        self.blocks = nn.ModuleList(
            nn.Sequential(Conv(self.half, self.half), Conv(self.half, self.half)) for _ in range(blocks)
        )
        self.leave = Conv(self.half * (2 + blocks), width, 1)

    def forward(self, x: Tensor) -> Tensor:
        parts = list(self.enter(x).split(self.half, 1))
        for block in self.blocks:
            parts.append(parts[-1] + block(parts[-1]))
        joined: Tensor = self.leave(torch.cat(parts, 1))
        return joined


class Pooled(nn.Module):
    """Three rounds of 5 x 5 maxima: each cell of the coarsest level sees the whole picture."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.enter = Conv(width, width // 2, 1)
        self.leave = Conv(width * 2, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        parts = [self.enter(x)]
        for _ in range(3):
            parts.append(functional.max_pool2d(parts[-1], 5, 1, 2))
        joined: Tensor = self.leave(torch.cat(parts, 1))
        return joined


class Branches(nn.Module):
    """One level's head: boxes and classes see the level through a convolution of their own."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.box = nn.Sequential(Conv(width, width), nn.Conv2d(width, 4, 1))
        self.score = nn.Sequential(Conv(width, width), nn.Conv2d(width, classes, 1))
        for last, values in ((self.box[1], (0.5, 0.5, math.log(4), math.log(4))), (self.score[1], None)):
            assert isinstance(last, nn.Conv2d)
            assert last.bias is not None
            nn.init.normal_(last.weight, std=0.01)
            prior = torch.tensor(values) if values else torch.full((classes,), -math.log((1 - PRIOR) / PRIOR))
            last.bias.data.copy_(prior)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.box(x).flatten(2), self.score(x).flatten(2)


class Yolo(nn.Module):
    """`forward` answers as the graph does: (batch, cells, 4 + classes), undecoded boxes and scores of 0 to 1.

    Cells are row by row, finest level first; a cell's centre is (offset + cell) * stride, its size exp(size) * stride.
    """

    def __init__(self, classes: int, widths: tuple[int, int, int, int] = (16, 48, 96, 128), neck: int = 32) -> None:
        super().__init__()
        first, fine, middle, coarse = widths
        # One step of four pixels: two of two cost more than all the levels that follow.
        self.stem = nn.Sequential(Conv(3, first, 6, 4), Cross(first, 1), Conv(first, fine, 3, 2), Cross(fine, 2))
        self.middle = nn.Sequential(Conv(fine, middle, 3, 2), Cross(middle, 2))
        self.coarse = nn.Sequential(Conv(middle, coarse, 3, 2), Cross(coarse, 1), Pooled(coarse))
        self.lateral = nn.ModuleList(Conv(width, neck, 1) for width in (fine, middle, coarse))
        self.smooth = nn.ModuleList(Conv(neck, neck) for _ in range(2))
        self.heads = nn.ModuleList(Branches(neck, classes) for _ in STRIDES)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def raw(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Undecoded boxes (batch, cells, 4) and class logits (batch, cells, classes)."""
        fine = self.stem(pixels)  # (batch, 48, height / 8, width / 8)
        middle = self.middle(fine)
        coarse = self.lateral[2](self.coarse(middle))
        middle = self.smooth[1](self.lateral[1](middle) + functional.interpolate(coarse, scale_factor=2.0))
        fine = self.smooth[0](self.lateral[0](fine) + functional.interpolate(middle, scale_factor=2.0))
        found = [head(level) for head, level in zip(self.heads, (fine, middle, coarse), strict=True)]
        boxes, scores = (torch.cat(parts, 2).transpose(1, 2) for parts in zip(*found, strict=True))
        return boxes, scores

    def forward(self, pixels: Tensor) -> Tensor:
        boxes, scores = self.raw(pixels)
        return torch.cat([boxes, scores.sigmoid()], 2)


def grid(width: int, height: int) -> tuple[Tensor, Tensor]:
    """Column and row of every cell, (cells, 2), and its stride, (cells, 1)."""
    cells, steps = [], []
    for stride in STRIDES:
        rows, columns = torch.meshgrid(torch.arange(height // stride), torch.arange(width // stride), indexing="ij")
        cells.append(torch.stack([columns.flatten(), rows.flatten()], 1))
        steps.append(torch.full((rows.numel(), 1), stride))
    return torch.cat(cells).float(), torch.cat(steps).float()


def decode(boxes: Tensor, cells: Tensor, steps: Tensor) -> Tensor:
    """Undecoded (batch, cells, 4) as corners in pixels of the canvas."""
    centres = (boxes[..., :2] + cells) * steps
    halves = boxes[..., 2:].clamp(max=5).exp() * steps / 2
    return torch.cat([centres - halves, centres + halves], -1)
