from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from hearth_build.networks.gpt import Decoder, Shape, rotary_tables, rotate

SHAPE = Shape(vocabulary=30, width=16, layers=2, heads=4, kv_heads=2, head_size=4, inner=24, context=12)
FORMS = {
    "llama": SHAPE,
    "gpt2": replace(
        SHAPE, kv_heads=4, positions="learned", norm="layer", activation="gelu-tanh", bias=True, tied=False
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_token_does_not_see_the_ones_after_it(form: str) -> None:
    torch.manual_seed(0)
    network = Decoder(FORMS[form]).eval()
    with torch.no_grad():
        first, second = network(torch.tensor([[1, 2, 3, 4]])), network(torch.tensor([[1, 2, 9, 8]]))
    torch.testing.assert_close(first[:, :2], second[:, :2])
    assert not torch.allclose(first[:, 2], second[:, 2])


@pytest.mark.parametrize("form", FORMS)
def test_the_order_of_tokens_matters(form: str) -> None:
    torch.manual_seed(0)
    network = Decoder(FORMS[form]).eval()
    with torch.no_grad():
        first, second = network(torch.tensor([[1, 2, 3]])), network(torch.tensor([[2, 1, 3]]))
    assert not torch.allclose(first[:, 2], second[:, 2])


def test_rotation_depends_on_the_distance_alone() -> None:
    cosine, sine = rotary_tables(SHAPE)
    query, key = torch.randn(4), torch.randn(4)

    def product(i: int, j: int) -> float:
        return float(rotate(query, cosine[i], sine[i]) @ rotate(key, cosine[j], sine[j]))

    assert product(5, 3) == pytest.approx(product(9, 7), abs=1e-5)
    assert product(5, 3) != pytest.approx(product(9, 3), abs=1e-3)


def test_a_tied_network_has_one_matrix() -> None:
    assert Decoder(SHAPE).head is None
    assert Decoder(FORMS["gpt2"]).head is not None
