from __future__ import annotations

import base64
import io
from pathlib import Path

import pytest
from PIL import Image

from hearth.models.model import Model
from hearth_build.pipeline.evaluation import evaluation_of
from tests.export.release.rewriting import write_golden, write_manifest
from tests.support.artifacts import make_image_artifact


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    """A valid artifact with golden.json, outside a store."""
    folder = make_image_artifact(tmp_path / "made")
    picture = io.BytesIO()
    Image.new("RGB", (32, 32), "red").save(picture, "png")
    evaluation = evaluation_of("image-classification")
    output = evaluation.predict(Model(write_manifest(folder), folder, threads=1), picture.getvalue())
    inputs = {"base64": base64.b64encode(picture.getvalue()).decode()}
    write_golden(folder, {"tolerance": 0.01, "expected": {}, "cases": [{"inputs": inputs, "answer": output}]})
    return folder
