"""A small network modelled on Deep Speech 2 (Amodei et al. 2015): convolutions, a recurrent layer, CTC.

The convolutions run along time only, over all mel bands at once, which costs a third of the paper's two-dimensional
ones. The recurrent layer is an LSTM because ONNX Runtime computes it fastest.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

STRIDE = 2
"""Input frames per output frame."""


class Block(nn.Module):
    """A convolution along time with a residual connection."""

    def __init__(self, channels: int, width: int, dilation: int) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(
            channels, channels, width, padding=dilation * (width // 2), dilation=dilation, bias=False
        )
        self.norm = nn.BatchNorm1d(channels)
        self.dropout = nn.Dropout(0.1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.dropout(functional.relu(self.norm(self.convolution(x))))


class DeepSpeech(nn.Module):
    """Log-mel features (batch, time, mels) to CTC log-probabilities (batch, ceil(time / STRIDE), symbols)."""

    def __init__(
        self, mels: int, symbols: int, channels: int = 96, hidden: int = 64, dilations: tuple[int, ...] = (1, 1, 2)
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv1d(mels, channels, 11, STRIDE, 5, bias=False), nn.BatchNorm1d(channels), nn.ReLU()
        )
        self.blocks = nn.Sequential(*(Block(channels, 5, dilation) for dilation in dilations))
        self.recurrent = nn.LSTM(channels, hidden, batch_first=True, bidirectional=True)
        self.dropout = nn.Dropout(0.1)
        self.classifier = nn.Linear(2 * hidden, symbols)

    def forward(self, features: Tensor) -> Tensor:
        x = self.blocks(self.stem(features.transpose(1, 2)))  # (batch, channels, time)
        x, _ = self.recurrent(x.transpose(1, 2))
        return torch.log_softmax(self.classifier(self.dropout(x)), 2)


def ctc_loss(log_probabilities: Tensor, targets: Tensor, lengths: Tensor, blank: int) -> Tensor:
    """Return the CTC loss (Graves et al. 2006), each sequence's loss divided by its length.

    `targets` is (batch, longest), padded. A text that does not fit into the frames has an infinite loss, which counts
    as zero.
    """
    batch, time, _ = log_probabilities.shape
    frames = torch.full((batch,), time)
    return functional.ctc_loss(
        log_probabilities.transpose(0, 1), targets, frames, lengths, blank=blank, zero_infinity=True
    )
