from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from hearth_build.networks.gpt import Decoder, Shape
from hearth_build.onnx_export.decoder_architecture import padded_head_size
from hearth_build.onnx_export.decoder_graph import write

SHAPE = Shape(vocabulary=40, width=32, layers=2, heads=2, kv_heads=1, head_size=16, inner=48, context=16)
SHAPES = {
    "llama": SHAPE,
    "gpt2": replace(SHAPE, kv_heads=2, positions="learned", norm="layer", activation="gelu", bias=True, tied=False),
    "padded heads": replace(SHAPE, head_size=24),
}
IDS = [3, 7, 1, 30, 12, 5]


@pytest.mark.parametrize("name", SHAPES)
def test_tokens_that_are_read_in_parts_have_the_networks_logits(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    shape = SHAPES[name]
    network = Decoder(shape).eval()
    for weights in network.parameters():
        weights.data *= 10 if weights.dim() == 2 else 1  # initial weights are so small that all logits are alike
    write(network, tmp_path / "main.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "main.onnx"), providers=["CPUExecutionProvider"])
    size = (1, shape.kv_heads, shape.context, padded_head_size(shape.head_size))
    cache = {
        f"past.{layer}.{kind}": np.zeros(size, np.float32) for layer in range(shape.layers) for kind in ("key", "value")
    }
    logits, read = [], 0
    for part in (IDS[:4], IDS[4:5], IDS[5:]):
        read += len(part)
        feeds = {
            "input_ids": np.array([part]),
            "total": np.array([read], np.int32),
            "rows": np.arange(len(part)),
        }
        values, *present = session.run(None, feeds | cache)
        logits.append(values)
        cache = dict(zip(cache, present, strict=True))
    with torch.no_grad():
        expected = network(torch.tensor([IDS]))[0].numpy()
    np.testing.assert_allclose(np.concatenate(logits), expected, atol=2e-3)
