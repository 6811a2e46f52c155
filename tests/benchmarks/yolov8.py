"""The shape of YOLOv8n, written from its published description: the usual choice for a small detector."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

STRIDES = (8, 16, 32)
BINS = 16
"""Number of cells of the distribution whose mean is the distance of an edge."""


class Conv(nn.Sequential):
    def __init__(self, before: int, after: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(before, after, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(after), nn.SiLU()
        )


class Split(nn.Module):
    """Half of the channels pass `blocks` pairs of convolutions; the outputs of all pairs are concatenated."""

    def __init__(self, before: int, after: int, blocks: int, residual: bool) -> None:
        super().__init__()
        half = after // 2
        self.enter, self.residual = Conv(before, after, 1), residual
        self.blocks = nn.ModuleList(nn.Sequential(Conv(half, half), Conv(half, half)) for _ in range(blocks))
        self.leave = Conv(half * (2 + blocks), after, 1)

    def forward(self, x: Tensor) -> Tensor:
        outputs = list(self.enter(x).chunk(2, 1))
        for block in self.blocks:
            output = block(outputs[-1])
            outputs.append(outputs[-1] + output if self.residual else output)
        joined: Tensor = self.leave(torch.cat(outputs, 1))
        return joined


class Pooled(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.enter, self.leave = Conv(width, width // 2, 1), Conv(width * 2, width, 1)
        self.pool = nn.MaxPool2d(5, 1, 2)

    def forward(self, x: Tensor) -> Tensor:
        outputs = [self.enter(x)]
        for _ in range(3):
            outputs.append(self.pool(outputs[-1]))
        joined: Tensor = self.leave(torch.cat(outputs, 1))
        return joined


class Decode(nn.Module):
    """From distributions, (batch, 4 * BINS, cells), and logits to (batch, cells, 4 + classes): centre, size, scores."""

    def __init__(self, size: int) -> None:
        super().__init__()
        centres, steps = [], []
        for stride in STRIDES:
            edge = torch.arange(size // stride) + 0.5
            rows, columns = torch.meshgrid(edge, edge, indexing="ij")
            centres.append(torch.stack([columns.flatten(), rows.flatten()]))
            steps.append(torch.full((1, rows.numel()), float(stride)))
        self.register_buffer("centres", torch.cat(centres, 1))
        self.register_buffer("steps", torch.cat(steps, 1))
        self.register_buffer("bins", torch.arange(BINS).float().reshape(1, 1, BINS, 1))

    def forward(self, edges: Tensor, logits: Tensor) -> Tensor:
        spread = edges.reshape(edges.shape[0], 4, BINS, -1).softmax(2)
        left, right = (spread * self.bins).sum(2).chunk(2, 1)
        low, high = self.centres - left, self.centres + right
        boxes = torch.cat([(low + high) / 2, high - low], 1) * self.steps
        return torch.cat([boxes, logits.sigmoid()], 1).transpose(1, 2)


class YoloV8(nn.Module):
    """`forward`: pixels (batch, 3, 640, 640) to (batch, 8400, 4 + classes)."""

    def __init__(self, classes: int, size: int = 640) -> None:
        super().__init__()
        widths, depths = (16, 32, 64, 128, 256), (1, 2, 2, 1)
        self.stem = Conv(3, widths[0], 3, 2)
        self.stages = nn.ModuleList(
            nn.Sequential(Conv(before, after, 3, 2), Split(after, after, depth, residual=True))
            for (before, after), depth in zip(pairwise(widths), depths, strict=True)
        )
        self.pooled, self.twice = Pooled(256), nn.Upsample(scale_factor=2.0)
        self.up = nn.ModuleList([Split(256 + 128, 128, 1, residual=False), Split(128 + 64, 64, 1, residual=False)])
        self.steps = nn.ModuleList([Conv(64, 64, 3, 2), Conv(128, 128, 3, 2)])
        self.down = nn.ModuleList([Split(64 + 128, 128, 1, residual=False), Split(128 + 256, 256, 1, residual=False)])
        levels = (64, 128, 256)
        self.edges = nn.ModuleList(branch(width, 64, 4 * BINS) for width in levels)
        self.scores = nn.ModuleList(branch(width, max(64, classes), classes) for width in levels)
        for scores, stride in zip(self.scores, STRIDES, strict=True):  # most cells are empty
            nn.init.normal_(scores[-1].weight, std=0.01)
            nn.init.constant_(scores[-1].bias, math.log(5 / classes / (size / stride) ** 2))
        self.decode = Decode(size)

    def forward(self, pixels: Tensor) -> Tensor:
        features = [self.stem(pixels)]
        for stage in self.stages:
            features.append(stage(features[-1]))
        fine, middle, coarse = features[2], features[3], self.pooled(features[4])
        middle = self.up[0](torch.cat([self.twice(coarse), middle], 1))
        fine = self.up[1](torch.cat([self.twice(middle), fine], 1))
        middle = self.down[0](torch.cat([self.steps[0](fine), middle], 1))
        coarse = self.down[1](torch.cat([self.steps[1](middle), coarse], 1))
        levels = (fine, middle, coarse)
        edges = [branch(level).flatten(2) for branch, level in zip(self.edges, levels, strict=True)]
        scores = [branch(level).flatten(2) for branch, level in zip(self.scores, levels, strict=True)]
        decoded: Tensor = self.decode(torch.cat(edges, 2), torch.cat(scores, 2))
        return decoded


def branch(before: int, width: int, after: int) -> nn.Sequential:
    return nn.Sequential(Conv(before, width), Conv(width, width), nn.Conv2d(width, after, 1))
