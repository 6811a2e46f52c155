"""The speech network: its graph gives its outputs, and its batches match their texts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from hearth.ops.audio.ctc import greedy
from hearth_build.networks.deepspeech import STRIDE, DeepSpeech, ctc_loss
from hearth_build.onnx_export import export
from hearth_build.recipe import load
from hearth_build.recipes.deepspeech_digits import data


def test_the_graph_gives_the_networks_outputs_for_any_length_and_batch(tmp_path: Path) -> None:
    torch.manual_seed(0)
    recipe = load("deepspeech-digits")
    network = DeepSpeech(data.FEATURES.mels, len(recipe.labels)).eval()
    recipe.graphs["main"](network, tmp_path / "raw.onnx")
    export.optimise(tmp_path / "raw.onnx", tmp_path)
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"))
    for batch, frames in ((1, 1), (1, 2), (1, 57), (3, 120)):
        features = torch.randn(batch, frames, data.FEATURES.mels)
        with torch.no_grad():
            expected = network(features).numpy()
        actual = session.run(None, {"features": features.numpy()})[0]
        assert actual.shape == (batch, -(-frames // STRIDE), len(recipe.labels))
        np.testing.assert_allclose(actual, expected, atol=2e-5)
        np.testing.assert_allclose(np.exp(actual).sum(2), 1, atol=1e-5)


def test_the_ctc_loss_follows_the_formula() -> None:
    """Two frames, one letter: the paths are (a, a), (a, blank), (blank, a)."""
    probabilities = torch.tensor([[[0.3, 0.7], [0.6, 0.4]]])
    loss = ctc_loss(probabilities.log(), torch.tensor([[0]]), torch.tensor([1]), blank=1)
    assert loss.item() == pytest.approx(-np.log(0.3 * 0.6 + 0.3 * 0.4 + 0.7 * 0.6), abs=1e-5)


def test_a_network_learns_its_letters(digit_strings: data.Strings) -> None:
    torch.manual_seed(0)
    network = DeepSpeech(data.FEATURES.mels, data.BLANK + 1, channels=24, hidden=16, dilations=())
    optimiser = torch.optim.AdamW(network.parameters(), 1e-2)
    features = torch.stack([torch.from_numpy(digit_strings.powers[index * len(data.SPEEDS)][:26]) for index in (0, 18)])
    texts = [data.WORDS[digit_strings.digits[index]] for index in (0, 18)]
    batch = {
        "features": features.float() / 5,
        "targets": torch.tensor([[data.ALPHABET.index(letter) for letter in text.ljust(4)] for text in texts]),
        "lengths": torch.tensor([len(text) for text in texts]),
    }
    for _ in range(180):
        loss = ctc_loss(network(batch["features"]), batch["targets"], batch["lengths"], data.BLANK)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        logs = network.eval()(batch["features"]).numpy()
    decoded = ["".join(data.ALPHABET[letter.symbol] for letter in greedy(row, data.BLANK)) for row in logs]
    assert loss.item() < 0.5
    assert decoded == texts
