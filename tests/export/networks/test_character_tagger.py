from __future__ import annotations

import torch

from hearth_build.data.text import pad
from hearth_build.networks.character_tagger import Tagger


def test_other_sentences_of_a_batch_change_no_logits() -> None:
    torch.manual_seed(0)
    network = Tagger(labels=3, vocabulary=20).eval()
    with torch.no_grad():
        together = network(**pad([[5, 6, 7, 8, 9, 10], [5, 6]], pad_id=13))
        alone = network(**pad([[5, 6]]))
    torch.testing.assert_close(together[1:, :2], alone, atol=1e-5, rtol=1e-4)


def test_neighbours_on_both_sides_are_read() -> None:
    torch.manual_seed(0)
    network = Tagger(labels=3, vocabulary=20).eval()
    with torch.no_grad():
        rows = [network(**pad([row]))[0, 1] for row in ([5, 6, 7], [8, 6, 7], [5, 6, 8])]
    assert not torch.allclose(rows[0], rows[1])
    assert not torch.allclose(rows[0], rows[2])
