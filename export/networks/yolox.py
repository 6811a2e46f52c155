"""A small anchor-free detector: a CSP backbone, a top-down feature pyramid of three levels, one head per level.

CSP blocks and the decoding of the grid are those of YOLOX (Ge et al. 2021), the loss is that of TOOD (Feng et al.
2021). The network is narrow enough to train from scratch on one core. It uses ReLU throughout because quantization to
int8 costs ReLU no accuracy.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

STRIDES = (8, 16, 32)
PRIOR = 0.01
"""Score of each class before training."""
FP32_NODES = (r"^/heads\.\d/(box/box|score/score)\.1/", r"^/heads\.\d/Reshape", r"^/(Concat|Transpose|Sigmoid)")
"""Regular expressions of the nodes that stay in fp32: the ranges of the last convolutions' outputs, offsets and logits,
differ too much for one int8 scale, and so do those of the nodes that concatenate them."""


class Conv(nn.Sequential):
    def __init__(self, in_channels: int, out_channels: int, kernel: int = 3, stride: int = 1) -> None:
        padding = (kernel - stride + 1) // 2 if kernel > 3 else kernel // 2
        super().__init__(
            nn.Conv2d(in_channels, out_channels, kernel, stride, padding, bias=False),
            nn.BatchNorm2d(out_channels, eps=1e-3, momentum=0.03),
            nn.ReLU(inplace=True),
        )


class CSPBlock(nn.Module):
    """Cross-stage partial block: residual blocks see half of the channels; the outputs of all are concatenated."""

    def __init__(self, width: int, blocks: int) -> None:
        super().__init__()
        self.half = width // 2
        self.enter = Conv(width, width, 1)
        self.blocks = nn.ModuleList(
            nn.Sequential(Conv(self.half, self.half), Conv(self.half, self.half)) for _ in range(blocks)
        )
        self.leave = Conv(self.half * (2 + blocks), width, 1)

    def forward(self, x: Tensor) -> Tensor:
        features = list(self.enter(x).split(self.half, 1))
        for block in self.blocks:
            features.append(features[-1] + block(features[-1]))
        joined: Tensor = self.leave(torch.cat(features, 1))
        return joined


class SpatialPyramidPooling(nn.Module):
    """Three rounds of 5 x 5 max pooling: each cell of the coarsest level sees the whole image."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.enter = Conv(width, width // 2, 1)
        self.leave = Conv(width * 2, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        features = [self.enter(x)]
        for _ in range(3):
            features.append(functional.max_pool2d(features[-1], 5, 1, 2))
        joined: Tensor = self.leave(torch.cat(features, 1))
        return joined


class DecoupledHead(nn.Module):
    """The head of one level, with separate convolutions for boxes and for class scores."""

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
    """The detector. `forward` returns what the graph returns: undecoded boxes and scores of 0 to 1.

    The output is (batch, cells, 4 + classes). Cells are in row-major order, the finest level first. The centre of a box
    is (offset + cell) * stride, its size is exp(size) * stride.
    """

    def __init__(self, classes: int, widths: tuple[int, int, int, int] = (16, 48, 96, 128), neck: int = 32) -> None:
        super().__init__()
        first, fine, middle, coarse = widths
        # One convolution of stride 4: two of stride 2 cost more than all the levels that follow.
        self.stem = nn.Sequential(Conv(3, first, 6, 4), CSPBlock(first, 1), Conv(first, fine, 3, 2), CSPBlock(fine, 2))
        self.middle = nn.Sequential(Conv(fine, middle, 3, 2), CSPBlock(middle, 2))
        self.coarse = nn.Sequential(Conv(middle, coarse, 3, 2), CSPBlock(coarse, 1), SpatialPyramidPooling(coarse))
        self.lateral = nn.ModuleList(Conv(width, neck, 1) for width in (fine, middle, coarse))
        self.smooth = nn.ModuleList(Conv(neck, neck) for _ in range(2))
        self.heads = nn.ModuleList(DecoupledHead(neck, classes) for _ in STRIDES)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def raw(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the undecoded boxes, (batch, cells, 4), and the class logits, (batch, cells, classes)."""
        fine = self.stem(pixels)  # (batch, 48, height / 8, width / 8)
        middle = self.middle(fine)
        coarse = self.lateral[2](self.coarse(middle))
        middle = self.smooth[1](self.lateral[1](middle) + functional.interpolate(coarse, scale_factor=2.0))
        fine = self.smooth[0](self.lateral[0](fine) + functional.interpolate(middle, scale_factor=2.0))
        outputs = [head(level) for head, level in zip(self.heads, (fine, middle, coarse), strict=True)]
        boxes, scores = (torch.cat(levels, 2).transpose(1, 2) for levels in zip(*outputs, strict=True))
        return boxes, scores

    def forward(self, pixels: Tensor) -> Tensor:
        boxes, scores = self.raw(pixels)
        return torch.cat([boxes, scores.sigmoid()], 2)


def grid(width: int, height: int) -> tuple[Tensor, Tensor]:
    """Return the column and row of every cell, (cells, 2), and its stride, (cells, 1)."""
    cells, strides = [], []
    for stride in STRIDES:
        rows, columns = torch.meshgrid(torch.arange(height // stride), torch.arange(width // stride), indexing="ij")
        cells.append(torch.stack([columns.flatten(), rows.flatten()], 1))
        strides.append(torch.full((rows.numel(), 1), stride))
    return torch.cat(cells).float(), torch.cat(strides).float()


def decode(boxes: Tensor, cells: Tensor, strides: Tensor) -> Tensor:
    """Decode boxes, (batch, cells, 4), to corners in pixels of the canvas."""
    centres = (boxes[..., :2] + cells) * strides
    halves = boxes[..., 2:].clamp(max=5).exp() * strides / 2
    return torch.cat([centres - halves, centres + halves], -1)


def with_new_fine_scores(network: Yolo, weights: dict[str, Tensor]) -> Yolo:
    """Load trained weights, but keep the network's initial score branch of the finest level.

    In a first training, this branch can die: its loss is large while hardly any cell is assigned to a box, so all its
    ReLUs become zero and all small objects get the same score. With trained features it learns normally.
    """
    initial = network.heads[0].score.state_dict(prefix="heads.0.score.")
    network.load_state_dict({**weights, **initial})
    return network
