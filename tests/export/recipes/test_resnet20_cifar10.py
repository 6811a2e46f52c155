from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from hearth_build.recipes.resnet20_cifar10 import data
from hearth_build.recipes.resnet20_cifar10.network import FlipAveraged
from hearth_build.recipes.resnet20_cifar10.recipe import RECIPE


class FirstColumn(nn.Module):
    def forward(self, pixels: Any) -> Any:
        return pixels[:, 0, 0, :1]


def test_an_image_and_its_mirror_image_have_the_same_logits() -> None:
    pixels = torch.rand(2, 3, 4, 4)
    network = FlipAveraged(FirstColumn())
    torch.testing.assert_close(network(pixels), network(pixels.flip(3)))
    torch.testing.assert_close(network(pixels), (pixels[:, 0, 0, :1] + pixels[:, 0, 0, -1:]) / 2)


def test_crops_are_small_at_first_and_keep_their_labels() -> None:
    pixels = torch.arange(8.0).view(8, 1, 1, 1).expand(8, 3, 40, 40)
    batches = data.AugmentedImages(pixels, torch.arange(8))
    assert sorted(index for batch in batches.plan(0, 4, seed=1) for index in batch) == list(range(8))
    for progress, side in ((0.0, 24), (1.0, 32)):
        batch = batches.collate([3, 5], progress)
        assert batch["pixels"].shape == (2, 3, side, side)
        assert batch["pixels"][:, 0, 0, 0].tolist() == batch["labels"].tolist() == [3, 5]


def test_training_and_serving_normalise_alike() -> None:
    assert RECIPE.preprocessing is not None
    values = data.normalise(np.full((1, 2, 2, 3), 255, np.uint8))[0, :, 0, 0]
    preprocessing: Any = RECIPE.preprocessing
    expected = [(255 / preprocessing.scale - m) / s for m, s in zip(preprocessing.mean, preprocessing.std, strict=True)]
    torch.testing.assert_close(values, torch.tensor(expected, dtype=torch.float32))
