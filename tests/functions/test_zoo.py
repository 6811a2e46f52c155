"""The trained artifacts of export/zoo: complete, small, with cards, and with the outputs of the torch models."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hearth import settings
from hearth.models.cache import warm_cache
from hearth.models.manifest import Manifest
from hearth_build import ZOO
from hearth_build.pipeline.evaluation import evaluation_of, examples_from
from hearth_functions.image_classification import app as image_classification
from hearth_functions.object_detection import app as object_detection
from hearth_functions.token_classification import app as tagging
from tests.support.asking import predict

MODELS = (
    "sentiment-en",
    "sentiment-zh",
    "resnet20-cifar10",
    "ner-zh",
    "embeddings-en",
    "deepspeech-digits",
    "yolo-cells",
    "gpt-shakespeare",
    "translate-en-de",
    "translate-en-zh",
    "yolox-nano-coco",
    "efficientnet-lite0-imagenet",
)
MAX_BYTES = 45_000_000
PROMISED = {
    "sentiment-en": (0.85, 0.01),
    "sentiment-zh": (0.88, 0.01),
    "resnet20-cifar10": (0.88, 0.01),
    "ner-zh": (0.88, 0.01),
    "embeddings-en": (0.82, 0.003),
    "deepspeech-digits": (0.03, 0.005),
    "yolo-cells": (0.85, 0.02),
    "gpt-shakespeare": (1.60, 0.01),
    "translate-en-de": (37.0, 0.5),
    "translate-en-zh": (16.0, 0.5),
    "yolox-nano-coco": (0.5, 0.02),
    "efficientnet-lite0-imagenet": (0.87, 0.13),
}
"""Least value of the task's metric for the served graph on held-out data, and the most quantization may cost."""


@pytest.fixture(autouse=True)
def zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("HEARTH_STORE", ZOO.as_uri())
    monkeypatch.setenv("HEARTH_CACHE_DIR", str(tmp_path))
    settings.get.cache_clear()
    warm_cache.cache_clear()
    yield
    warm_cache.cache_clear()


def manifest(name: str) -> Manifest:
    registry = warm_cache().registry
    return registry.resolve(name).manifest


def test_the_zoo_holds_these_models_and_is_small() -> None:
    assert warm_cache().registry.models() == sorted(MODELS)
    assert sum(path.stat().st_size for path in ZOO.rglob("*") if path.is_file()) <= MAX_BYTES


@pytest.mark.parametrize("name", MODELS)
def test_outputs_equal_those_of_the_torch_models(name: str) -> None:
    golden = json.loads(next((ZOO / name).glob("*/golden.json")).read_text(encoding="utf-8"))
    evaluation = evaluation_of(manifest(name).task)
    with warm_cache().get(name) as model:
        for case in golden["cases"]:
            inputs = case["inputs"]
            if isinstance(inputs, dict) and "base64" in inputs:
                inputs = base64.b64decode(inputs["base64"])
            assert evaluation.difference(case["answer"], evaluation.predict(model, inputs)) <= golden["tolerance"]


@pytest.mark.parametrize(
    ("name", "text", "brief"),
    [
        ("sentiment-zh", "我非常喜欢这个电影", "positive"),
        ("sentiment-zh", "这个电影真的很糟糕", "negative"),
        ("ner-zh", "王小明昨天从北京大学出发，去了上海。", "王小明 PER, 北京大学 ORG, 上海 LOC"),
        ("sentiment-en", "I like this film very much.", "positive"),
        ("sentiment-en", "What a waste of two hours.", "negative"),
    ],
)
def test_sentences_have_the_right_output(name: str, text: str, brief: str) -> None:
    evaluation = evaluation_of(manifest(name).task)
    with warm_cache().get(name) as model:
        assert evaluation.summarize(evaluation.predict(model, text)) == brief


@pytest.mark.parametrize("name", MODELS)
def test_quality_is_measured_and_quantization_keeps_it(name: str) -> None:
    published = manifest(name)
    minimum, loss = PROMISED[name]
    evaluation = evaluation_of(published.task)
    metric = evaluation.metric
    assert published.metrics.metric == metric
    assert evaluation.loss(minimum, published.metrics.served[metric]) <= 0
    assert evaluation.loss(published.metrics.fp32[metric], published.metrics.served[metric]) <= loss


@pytest.mark.parametrize("name", MODELS)
def test_the_card_names_the_provenance(name: str) -> None:
    folder = next((ZOO / name).glob("*/manifest.json")).parent
    card = (folder / "report.md").read_text(encoding="utf-8")
    provenance = manifest(name).provenance
    assert provenance.command in card
    assert all(source.partition(" (")[0] in card for source in provenance.data)
    assert "icence" in card
    assert (folder / "report.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.skipif("HEARTH_DATA" not in os.environ, reason="HEARTH_DATA is not set: the data sets are not here")
def test_the_measured_accuracy_is_reproducible() -> None:
    examples = examples_from(Path(os.environ["HEARTH_DATA"]) / "sentiment_en/sst2_dev.tsv", "text-classification")
    with warm_cache().get("sentiment-en") as model:
        metrics = evaluation_of("text-classification").measure(model, examples)
    assert metrics["accuracy"] == pytest.approx(manifest("sentiment-en").metrics.served["accuracy"], abs=0.002)


@pytest.mark.skipif("HEARTH_DATA" not in os.environ, reason="HEARTH_DATA is not set: the photos are not here")
def test_a_bus_is_found_on_a_photo_of_a_bus() -> None:
    photo = (Path(os.environ["HEARTH_DATA"]) / "test_images/bus.jpg").read_bytes()
    boxes = predict(object_detection, "yolox-nano-coco", object_detection.Request(photo))
    assert sorted(box.label for box in boxes) == ["bus", "person", "person", "person"]
    labels = predict(image_classification, "efficientnet-lite0-imagenet", image_classification.Request(photo))
    assert "bus" in labels[0].label


@pytest.mark.parametrize("strategy", ["none", "simple", "first", "average", "max"])
@pytest.mark.parametrize("space", ["  ", "\n\n", "\u3000", " \t "])
def test_white_space_is_no_entity(space: str, strategy: str) -> None:
    text = f"{space}王小明昨天{space}从北京大学出发。{space}"
    request = tagging.Request(text, tagging.Parameters(aggregation_strategy=strategy))  # type: ignore[arg-type]
    entities = predict(tagging, "ner-zh", request)
    assert entities
    assert all(text[entity.start : entity.end].strip() == text[entity.start : entity.end] != "" for entity in entities)
