from __future__ import annotations

import torch
from torch import nn

from hearth_build.networks.resnet import Block, ResNet


def test_the_number_of_layers_follows_from_the_blocks() -> None:
    network = ResNet(3)
    layers = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    assert len(layers) == 20
    assert network.eval()(torch.rand(2, 3, 32, 32)).shape == (2, 10)


def test_shortcuts_have_no_parameters() -> None:
    block = Block(16, 32, stride=2).eval()
    nn.init.zeros_(block.conv2.weight)  # the shortcut alone is left
    x = torch.rand(1, 16, 8, 8)
    expected = torch.zeros(1, 32, 4, 4)
    expected[:, 8:24] = x[:, :, ::2, ::2]
    torch.testing.assert_close(block(x), expected)
