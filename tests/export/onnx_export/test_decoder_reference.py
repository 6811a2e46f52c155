from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import torch

from hearth_build.networks.gpt import Decoder, Shape
from hearth_build.onnx_export.decoder_reference import DecoderReference

SHAPE = Shape(vocabulary=40, width=32, layers=1, heads=2, kv_heads=1, head_size=16, inner=48, context=16)


def test_steps_have_the_logits_of_all_tokens_together() -> None:
    torch.manual_seed(0)
    network = Decoder(SHAPE).eval()
    served: Any = SimpleNamespace(
        **dict.fromkeys(("manifest", "resources", "input_names", "preprocessing", "head"), None)
    )
    reference = DecoderReference(network, served)
    binding = reference.session().io_binding()
    results, read = [], 0
    for part in ([3, 7, 1], [30], [12]):
        read += len(part)
        values = {"input_ids": np.array([part]), "total": np.array([read]), "rows": np.array([len(part) - 1])}
        for name, value in values.items():
            binding.bind_ortvalue_input(name, onnxruntime.OrtValue.ortvalue_from_numpy(value))
        logits = onnxruntime.OrtValue.ortvalue_from_numpy(np.zeros((1, 40), np.float32))
        binding.bind_ortvalue_output("logits", logits)
        reference.run_bound(binding)
        results.append(logits.numpy()[0].copy())
    with torch.no_grad():
        expected = network(torch.tensor([[3, 7, 1, 30, 12]]))[0, 2:].numpy()
    np.testing.assert_allclose(results, expected, atol=1e-5)
