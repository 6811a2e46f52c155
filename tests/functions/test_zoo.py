"""The trained artifacts of export/zoo: whole, small, with cards, and answering as the torch models did."""

from __future__ import annotations

import base64
import importlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from export.cli import ZOO
from hearth import settings
from hearth.cache import warm
from hearth.manifest import Manifest

MODELS = ("sentiment-en", "sentiment-zh", "resnet20-cifar10")
MAX_BYTES = 25_000_000
AGREED = 0.05
"""Largest difference of a score from the torch model's; quantization alone may cause it."""
PROMISED = {"sentiment-en": 0.85, "sentiment-zh": 0.88, "resnet20-cifar10": 0.88}
"""Accuracy of the served graph on data that was never trained on."""


@pytest.fixture(autouse=True)
def zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("HEARTH_STORE", ZOO.as_uri())
    monkeypatch.setenv("HEARTH_CACHE_DIR", str(tmp_path))
    settings.get.cache_clear()
    warm.cache_clear()
    yield
    warm.cache_clear()


def manifest(name: str) -> Manifest:
    registry = warm().registry
    return registry.manifest(registry.resolve(name))


def function(name: str) -> ModuleType:
    return importlib.import_module(f"functions.{manifest(name).task.replace('-', '_')}.app")


def scores(name: str, inputs: list[Any]) -> list[dict[str, float]]:
    app = function(name)
    request = app.Request(inputs=inputs, parameters=app.Parameters(top_k=len(manifest(name).labels)))
    return [{score.label: score.score for score in row} for row in app.predict(name, request)]


def test_the_zoo_holds_these_and_stays_small() -> None:
    assert warm().registry.models() == sorted(MODELS)
    assert sum(path.stat().st_size for path in ZOO.rglob("*") if path.is_file()) <= MAX_BYTES


@pytest.mark.parametrize("name", MODELS)
def test_answers_are_the_torch_models(name: str) -> None:
    golden = json.loads(next((ZOO / name).glob("*/golden.json")).read_text(encoding="utf-8"))
    inputs = [
        case["inputs"] if isinstance(case["inputs"], str) else base64.b64decode(case["inputs"]["base64"])
        for case in golden["cases"]
    ]
    for case, found in zip(golden["cases"], scores(name, inputs), strict=True):
        assert found == pytest.approx(case["scores"], abs=AGREED)


@pytest.mark.parametrize(
    ("name", "text", "label"),
    [
        ("sentiment-zh", "我非常喜欢这个电影", "positive"),
        ("sentiment-zh", "这个电影真的很糟糕", "negative"),
        ("sentiment-en", "I like this film very much.", "positive"),
        ("sentiment-en", "What a waste of two hours.", "negative"),
    ],
)
def test_sentences_come_out_right(name: str, text: str, label: str) -> None:
    (found,) = scores(name, [text])
    assert max(found, key=lambda label: found[label]) == label


@pytest.mark.parametrize("name", MODELS)
def test_quality_is_measured_and_kept_by_quantization(name: str) -> None:
    metrics = manifest(name).metrics
    assert metrics.served["accuracy"] >= PROMISED[name]
    assert metrics.served["accuracy"] >= metrics.fp32["accuracy"] - 0.01


@pytest.mark.parametrize("name", MODELS)
def test_the_card_tells_where_it_comes_from(name: str) -> None:
    folder = next((ZOO / name).glob("*/manifest.json")).parent
    card = (folder / "report.md").read_text(encoding="utf-8")
    provenance = manifest(name).provenance
    assert provenance.command in card
    assert all(source.partition(" (")[0] in card for source in provenance.data)
    assert "icence" in card
    assert (folder / "report.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.skipif("HEARTH_DATA" not in os.environ, reason="HEARTH_DATA is not set: the data sets are not here")
def test_the_measured_accuracy_can_be_measured_again() -> None:
    lines = (Path(os.environ["HEARTH_DATA"]) / "sentiment_en/sst2_dev.tsv").read_text(encoding="utf-8").splitlines()
    rows = [line.rpartition("\t") for line in lines]
    right = 0
    for start in range(0, len(rows), 32):
        part = rows[start : start + 32]
        for (_, _, label), found in zip(
            part, scores("sentiment-en", [text.strip() for text, _, _ in part]), strict=True
        ):
            right += (found["positive"] > 0.5) == (label == "1")
    assert right / len(rows) == pytest.approx(manifest("sentiment-en").metrics.served["accuracy"], abs=0.002)
