"""The detector: training and serving decode its outputs alike."""

from __future__ import annotations

import numpy as np
import torch

from hearth.ops.vision.boxes import decode_grid
from hearth_build.networks import yolox


def test_training_and_serving_decode_alike() -> None:
    torch.manual_seed(0)
    network = yolox.Yolo(2, widths=(8, 8, 8, 8), neck=8).eval()
    with torch.no_grad():
        boxes, _ = network.raw(torch.rand(2, 3, 64, 96))
        outputs = network(torch.rand(1, 3, 64, 96))
    cells, steps = yolox.grid(96, 64)
    served = decode_grid(boxes.numpy(), 96, 64, yolox.STRIDES)
    np.testing.assert_allclose(yolox.decode(boxes, cells, steps).numpy(), served, atol=1e-3)
    assert outputs.shape == (1, len(cells), 6)
