from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper

from hearth_build.networks.marian import Marian
from hearth_build.onnx_export import export
from hearth_build.onnx_export.quantize import quantize
from hearth_build.onnx_export.seq2seq_graphs import DecoderStep, Encoder, graphs
from hearth_build.recipe import DynamicInt8
from tests.export.toy_translation import SHAPE


def test_decoding_step_by_step_gives_the_networks_logits() -> None:
    torch.manual_seed(2)
    network = Marian(SHAPE).eval()
    ids, mask = torch.randint(3, 120, (2, 7)), torch.ones(2, 7, dtype=torch.int64)
    mask[1, 4:] = 0
    tokens = torch.randint(3, 120, (6, 5))
    past = [torch.zeros(6, 4, 0, 8)] * 4
    with torch.no_grad():
        cross = Encoder(network)(ids, mask)
        step = DecoderStep(network)
        for position in range(5):
            logits, *past = step(tokens[:, position : position + 1], mask, *cross, *past)
        expected = network(ids.repeat_interleave(3, 0), mask.repeat_interleave(3, 0), tokens)[:, -1]
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=1e-4)


def test_the_output_matrix_and_the_embedding_are_stored_once(tmp_path: Path) -> None:
    torch.manual_seed(3)
    network = Marian(SHAPE).eval()
    raw, quantized = tmp_path / "raw.onnx", tmp_path / "small.onnx"
    graphs(SHAPE)["decoder"](network, raw)
    quantize(DynamicInt8(), tmp_path, raw, quantized)
    export.optimise(quantized, tmp_path / "served", "decoder")
    model = onnx.load(str(tmp_path / "served" / "decoder.onnx"))
    matrices = [tensor for tensor in model.graph.initializer if sorted(tensor.dims) == [32, 120]]
    assert [numpy_helper.to_array(tensor).dtype for tensor in matrices] == [np.dtype(np.int8)]
