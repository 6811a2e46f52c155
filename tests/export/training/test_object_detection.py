from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from tests.export.training.running import train_on


def test_boxes(tmp_path: Path) -> None:
    generator = random.Random(1)
    (tmp_path / "data/labels").mkdir(parents=True)
    (tmp_path / "data/images").mkdir()
    (tmp_path / "data/classes.txt").write_text("disc\n")
    for number in range(24):
        image = Image.new("RGB", (128, 96), (230, 230, 220))
        x, y, radius = generator.uniform(30, 98), generator.uniform(30, 66), generator.uniform(15, 25)
        ImageDraw.Draw(image).ellipse((x - radius, y - radius, x + radius, y + radius), (150, 30, 40))
        image.save(tmp_path / f"data/images/{number}.png")
        values = (x / 128, y / 96, radius / 64, radius / 48)
        (tmp_path / f"data/labels/{number}.txt").write_text("0 " + " ".join(f"{value:.4f}" for value in values))
    fields: dict[str, Any] = {"settings": {"epochs": 60}}
    manifest, _ = train_on("object-detection", tmp_path / "data", tmp_path / "work", **fields)
    assert manifest.labels == ("disc",)
    assert manifest.metrics.served["AP50 (test)"] > 0.3
