from __future__ import annotations

import pytest
import torch

from hearth_build.networks.resnet import ResNet
from hearth_build.recipe import RecipeError
from hearth_build.recipes.resnet56_cifar10.recipe import rename_weights


def test_published_weight_names_of_a_resnet_are_translated() -> None:
    network = ResNet(2)
    published = {}
    for name, value in network.state_dict().items():
        head, _, tail = name.partition(".")
        if head == "blocks":
            number, _, tail = tail.partition(".")
            name = f"layer{int(number) // 2 + 1}.{int(number) % 2}.{tail}"
        else:
            name = {"conv": "conv1", "bn": "bn1", "classifier": "linear"}[head] + f".{tail}"
        published[f"module.{name}"] = value
    weights = rename_weights(published, 2)
    assert weights.keys() == network.state_dict().keys()
    assert all(torch.equal(weights[name], value) for name, value in network.state_dict().items())
    with pytest.raises(RecipeError, match="is not a weight of a ResNet"):
        rename_weights({"module.fc.weight": torch.zeros(1)}, 2)
