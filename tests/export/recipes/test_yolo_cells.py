from __future__ import annotations

import io
import tarfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from hearth_build.recipes.yolo_cells import data

XML = """<annotation><object><name>RBC</name><bndbox><xmin>10</xmin><ymin>20</ymin><xmax>110</xmax><ymax>220</ymax>
</bndbox></object></annotation>"""


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The layout of the data set, with one image in each part."""
    picture = io.BytesIO()
    Image.new("RGB", (640, 480), "white").save(picture, "JPEG")
    files = {}
    for part, name in (("train", "first"), ("val", "second")):
        files[f"BCCD/ImageSets/Main/{part}.txt"] = f"{name}\n".encode()
        files[f"BCCD/JPEGImages/{name}.jpg"] = picture.getvalue()
        files[f"BCCD/Annotations/{name}.xml"] = XML.encode()
    with tarfile.open(tmp_path / "cells.tar", "w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    monkeypatch.setattr(data, "SOURCE", SimpleNamespace(file=lambda: tmp_path / "cells.tar"))
    return tmp_path


def test_boxes_are_scaled_with_their_images(archive: Path) -> None:
    (example,) = data.dev(archive)
    assert example.expected[0]["label"] == "RBC"
    data.prepare(archive)
    canvases = data.canvases(archive)
    assert canvases.pixels.shape == (1, data.HEIGHT, data.WIDTH, 3)
    scale = min(data.WIDTH / 640, data.HEIGHT / 480)
    np.testing.assert_allclose(canvases.boxes[0, 0], np.array(example.expected[0]["box"]) * scale, atol=1e-3)
    assert data.LABELS[canvases.classes[0, 0]] == "RBC"
    assert data.training(archive).turns, "cells have no up or down"


def test_golden_images_are_drawn() -> None:
    first, second = data.synthetic()
    assert data.synthetic() == [first, second]
    with Image.open(io.BytesIO(second)) as image:
        assert image.size == (480, 640)
