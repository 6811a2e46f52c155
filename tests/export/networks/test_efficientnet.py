from __future__ import annotations

import torch

from hearth_build.networks.efficientnet import FEATURES, Conv, EfficientNetLite, load


def test_convolutions_are_padded_as_tensorflow_pads() -> None:
    layer = Conv(1, 1, 3, stride=2)
    layer.weight.data.fill_(1)
    sums = layer(torch.ones(1, 1, 4, 4))[0, 0]
    assert sums.tolist() == [[9, 6], [6, 4]], "the column and the row of zeros are on the right and below"


def test_images_become_vectors_and_logits() -> None:
    network = EfficientNetLite(labels=5).eval()
    with torch.no_grad():
        pixels = torch.rand(1, 3, 32, 64)
        assert network.embed(pixels).shape == (1, FEATURES)
        assert network(pixels).shape == (1, 5)


def test_weights_of_other_classes_are_not_loaded() -> None:
    published, own = EfficientNetLite(labels=7), EfficientNetLite(labels=5)
    before = own._fc.weight.clone()
    load(own, published.state_dict() | {"unknown": torch.ones(1)})
    assert torch.equal(own._conv_stem.weight, published._conv_stem.weight)
    assert torch.equal(own._fc.weight, before)
    assert torch.equal(load(EfficientNetLite(labels=7), published.state_dict())._fc.weight, published._fc.weight)
