"""ResNets for 32 x 32 images (He et al. 2015, section 4.2), with parameter-free shortcuts."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class Block(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.stride = stride
        self.padding = (out_channels - in_channels) // 2

    def forward(self, x: Tensor) -> Tensor:
        residual = functional.relu(self.bn1(self.conv1(x)), inplace=True)
        residual = self.bn2(self.conv2(residual))
        if self.stride > 1:
            x = functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.padding, self.padding))
        return functional.relu(x + residual, inplace=True)


class ResNet(nn.Module):
    """A ResNet of 6 * `blocks` + 2 layers: 3 blocks per width are ResNet-20, 9 are ResNet-56."""

    def __init__(self, blocks: int, classes: int = 10) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        in_channels = 16
        for width, stride in ((16, 1), (32, 2), (64, 2)):
            for index in range(blocks):
                layers.append(Block(in_channels, width, stride if index == 0 else 1))
                in_channels = width
        self.conv = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn = nn.BatchNorm2d(16)
        self.blocks = nn.Sequential(*layers)
        self.classifier = nn.Linear(64, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, pixels: Tensor) -> Tensor:
        x = functional.relu(self.bn(self.conv(pixels)), inplace=True)  # (batch, 16, 32, 32)
        x = self.blocks(x)  # (batch, 64, 8, 8)
        logits: Tensor = self.classifier(x.mean((2, 3)))
        return logits
