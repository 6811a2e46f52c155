from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import torch

from hearth_build.data.text import pad
from hearth_build.networks.sentence_encoder import SentenceEncoder, graph
from tests.export import toy


def test_the_graph_gives_the_vectors_of_each_token_for_any_length(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = SentenceEncoder(toy.SHAPE).eval()
    graph()(network, tmp_path / "raw.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "raw.onnx"), providers=["CPUExecutionProvider"])
    batch = pad([[2, 10, 11, 3], [2, 12, 3], [2, 3]])
    with torch.no_grad():
        expected = network(**batch).numpy()
    (tokens,) = session.run(["tokens"], {name: value.numpy() for name, value in batch.items()})
    assert tokens.shape == (3, 4, toy.SHAPE.hidden)
    np.testing.assert_allclose(tokens, expected, atol=1e-4)
