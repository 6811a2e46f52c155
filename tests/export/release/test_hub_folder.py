"""Folders of the Hub's layout, read back by transformers' and optimum's own classes."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import yaml
from msgspec import structs
from PIL import Image
from typer.testing import CliRunner

from hearth.errors import BadRequest
from hearth.models.cache import warm_cache
from hearth.models.preprocessing import ImagePreprocessing
from hearth_build import ZOO
from hearth_build.cli.main import app
from hearth_build.release.hub_folder import preprocessor_config, write
from hearth_functions.image_classification import app as pictures
from hearth_functions.text_classification import app as texts

TEXTS = ["a wonderful film", "boring and far too long, a mess"]


def export(name: str, folder: Path, *options: str) -> Path:
    result = CliRunner().invoke(app, ["export-hub", name, str(folder), *options])
    assert result.exit_code == 0, (result.output, result.exception)
    assert f"Next: hf upload USER/{name} {folder}" in result.output
    return folder


@pytest.fixture
def zoo(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    from hearth import settings

    monkeypatch.setenv("HEARTH_STORE", ZOO.as_uri())
    monkeypatch.setenv("HEARTH_CACHE_DIR", str(tmp_path / "cache"))
    settings.get.cache_clear()
    warm_cache.cache_clear()
    return tmp_path


def test_a_text_classifier_gives_the_same_scores(zoo: Path) -> None:
    transformers = pytest.importorskip("transformers")
    folder = export("sentiment-en", zoo / "hub")
    config = transformers.AutoConfig.from_pretrained(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    session = onnxruntime.InferenceSession(folder / "onnx/model.onnx")
    feeds = tokenizer(TEXTS, padding=True, truncation=True, return_tensors="np")
    (logits,) = session.run(["logits"], {item.name: feeds[item.name] for item in session.get_inputs()})
    scores = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    with warm_cache().get("sentiment-en") as model:
        expected = texts.predict(model, texts.Request(TEXTS)).output
    for row, labels in zip(scores, expected, strict=True):
        assert {config.id2label[index]: pytest.approx(float(score), abs=1e-4) for index, score in enumerate(row)} == {
            label.label: label.score for label in labels
        }
    _, head, body = (folder / "README.md").read_text().split("---\n", 2)
    metadata = yaml.safe_load(head)
    assert metadata["pipeline_tag"] == "text-classification"
    assert metadata["model-index"][0]["results"][0]["metrics"]
    assert body.lstrip().startswith("# sentiment-en")


def test_optimum_runs_the_folder(zoo: Path) -> None:
    # Releases of optimum-onnx that read transformers 5 are awaited; docs/import.md names the ones that were tried.
    optimum = pytest.importorskip("optimum.onnxruntime", exc_type=ImportError)
    transformers = pytest.importorskip("transformers")
    folder = export("sentiment-en", zoo / "hub")
    model = optimum.ORTModelForSequenceClassification.from_pretrained(folder, subfolder="onnx", file_name="model.onnx")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    logits = model(**tokenizer(TEXTS[0], return_tensors="pt")).logits[0]
    assert model.config.id2label[int(logits.argmax())] == "positive"


def test_a_picture_classifier_gives_the_same_scores(zoo: Path) -> None:
    transformers = pytest.importorskip("transformers")
    folder = export("resnet20-cifar10", zoo / "hub")
    processor = transformers.AutoImageProcessor.from_pretrained(folder, use_fast=False)
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 50, 3), np.uint8))
    session = onnxruntime.InferenceSession(folder / "onnx/model.onnx")
    (logits,) = session.run(["logits"], {"pixel_values": np.asarray(processor(picture)["pixel_values"], np.float32)})
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    with warm_cache().get("resnet20-cifar10") as model:
        best = pictures.predict(model, pictures.Request(buffer.getvalue())).output[0]
    config = json.loads((folder / "config.json").read_text())
    assert config["id2label"][str(logits[0].argmax())] == best.label


def test_what_has_no_form_is_refused_and_nothing_is_left(zoo: Path) -> None:
    for name in ("translate-en-de", "yolo-cells"):
        result = CliRunner().invoke(app, ["export-hub", name, str(zoo / "hub")])
        assert result.exit_code == 1
        assert "no form in the Hub's layout" in str(result.exception)
    (zoo / "there").mkdir()
    result = CliRunner().invoke(app, ["export-hub", "sentiment-en", str(zoo / "there")])
    assert "exists already" in str(result.exception)
    manifest = warm_cache().resolve("sentiment-en").manifest
    with pytest.raises(FileNotFoundError):
        write(structs.replace(manifest), zoo / "no artifact", zoo / "hub")
    assert {path.name for path in zoo.iterdir()} <= {"cache", "there"}


def test_crops_become_a_processor_with_a_crop() -> None:
    crop = ImagePreprocessing(224, 224, "shortest-edge-center-crop", (0.5,) * 3, (0.5,) * 3, before_crop=(256,))
    config = preprocessor_config("m", crop)
    assert (config["size"], config["crop_size"]) == ({"shortest_edge": 256}, {"height": 224, "width": 224})
    with pytest.raises(BadRequest, match="letterbox"):
        preprocessor_config("m", ImagePreprocessing(64, 64, "letterbox", (0.5,) * 3, (0.5,) * 3))
