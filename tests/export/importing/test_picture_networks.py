from __future__ import annotations

from types import SimpleNamespace

import torch
from torch import nn

from hearth_build.importing import picture_graphs
from hearth_build.importing.picture_networks import READERS, Towers, has_many_matrices, networks_of, pooled
from hearth_build.importing.picture_parts import Parts


def test_vectors_are_found_in_the_outputs_of_any_version() -> None:
    vector = torch.ones(2, 3, 1, 1)
    assert pooled(SimpleNamespace(image_embeds=None, pooler_output=vector)).shape == (2, 3)
    assert pooled(vector) is vector


def test_several_graphs_have_a_network_each() -> None:
    linear, convolution = nn.Linear(4, 4), nn.Conv2d(3, 8, 3)
    assert networks_of(Parts({}, ())) is None
    assert networks_of(Parts({}, (), networks={"main": linear})) is linear
    towers = networks_of(Parts({}, (), networks={"main": linear, "text": convolution}))
    assert isinstance(towers, Towers)
    assert towers.networks["text"] is convolution


def test_convolutions_need_pictures_to_be_quantized_and_matrices_do_not() -> None:
    assert has_many_matrices({"main": nn.Linear(64, 64)})
    assert not has_many_matrices({"main": nn.Conv2d(64, 64, 3), "text": nn.Linear(8, 8)})


def test_both_forms_of_weights_serve_the_same_tasks() -> None:
    assert READERS.keys() == picture_graphs.READERS.keys()
