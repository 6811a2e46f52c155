"""text-ranking against transformers, and its forms of Text Embeddings Inference, Cohere and Jina."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

os.environ["HF_HUB_OFFLINE"] = "1"
pytest.importorskip("transformers", reason="the export extra (transformers) is not installed")

import torch

from hearth.models.model import Model
from hearth_functions.text_ranking import app
from tests.functions import checkpoints

QUERY = "who bought the mill?"
TEXTS = [
    "anna berg bought it from her uncle.",
    "a film",
    "the mill stands by the river and was a hotel of ten rooms " * 4,
]
LABEL = {"id2label": {0: "LABEL_0"}, "label2id": {"LABEL_0": 0}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ranking")


@pytest.fixture(scope="module")
def both(folder: Path) -> tuple[Model, Any]:
    network = checkpoints.save(folder / "hf", "BertForSequenceClassification", **LABEL)
    return checkpoints.build_model(folder / "hf", folder / "work"), network


@pytest.fixture(scope="module")
def ask(both: tuple[Model, Any], folder: Path) -> Iterator[checkpoints.ModelClient]:
    with checkpoints.serve(both[0], folder / "work", app.TASKS) as model_client:
        yield model_client


@pytest.fixture(scope="module")
def logits(both: tuple[Model, Any], folder: Path) -> list[float]:
    """transformers' logit for each text; texts that are too long are truncated."""
    tokenizer = checkpoints.tokenizer_of(folder / "hf")
    pairs = tokenizer([QUERY] * 3, TEXTS, truncation="only_second", padding=True, return_tensors="pt")
    with torch.no_grad():
        return [float(value) for value in both[1](**pairs).logits[:, 0]]


def test_scores_equal_those_of_transformers(both: tuple[Model, Any], logits: list[float]) -> None:
    assert both[0].manifest.task == "text-ranking"
    request = app.Request(app.Candidates(QUERY, TEXTS), app.Parameters(raw_scores=True, return_text=True))
    ranked = app.predict(both[0], request).output
    np.testing.assert_allclose([item.score for item in ranked], sorted(logits, reverse=True), atol=1e-4)
    assert [item.text for item in ranked] == [TEXTS[item.index] for item in ranked]
    best = app.predict(both[0], app.Request(app.Candidates(QUERY, TEXTS), app.Parameters(top_n=1))).output
    assert [item.index for item in best] == [int(np.argmax(logits))]
    assert best[0].score == pytest.approx(1 / (1 + np.exp(-max(logits))), abs=1e-5)


def test_teis_form_is_answered(ask: checkpoints.ModelClient, logits: list[float]) -> None:
    body = {"query": QUERY, "texts": TEXTS, "truncate": True, "return_text": True}
    response = ask.client.post(f"/models/{ask.model}/rerank", json=body)
    assert response.status_code == 200, response.text
    assert [item["index"] for item in response.json()] == list(np.argsort(-np.array(logits)))
    assert response.json()[0]["text"] in TEXTS
    too_long = ask.client.post(f"/models/{ask.model}/rerank", json=body | {"truncate": False})
    assert (too_long.status_code, "tokens; " in too_long.json()["error"]) == (413, True)


@pytest.mark.parametrize("path", ["/rerank", "/v1/rerank", "/v2/rerank"])
def test_coheres_and_jinas_form_is_answered(ask: checkpoints.ModelClient, logits: list[float], path: str) -> None:
    documents = [TEXTS[0], {"text": TEXTS[1]}, TEXTS[2]]
    body = {"model": ask.model, "query": QUERY, "documents": documents, "top_n": 2, "return_documents": True}
    response = ask.client.post(path, json=body)
    assert response.status_code == 200, response.text
    results = response.json()["results"]
    assert [item["index"] for item in results] == list(np.argsort(-np.array(logits))[:2])
    assert results[0]["document"]["text"] == TEXTS[results[0]["index"]]
    assert 0 < results[0]["relevance_score"] < 1
    assert response.json()["usage"]["total_tokens"] > 0


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"query": QUERY, "documents": []}, 400, "`documents` is empty"),
        ({"query": "", "documents": ["a"]}, 400, "query"),
        ({"query": QUERY, "documents": ["a"], "top_n": 0}, 400, "top_n"),
        ({"query": QUERY}, 400, "documents"),
        ({"query": "mill " * 60, "documents": ["a"]}, 400, "leaves no room"),
    ],
)
def test_a_bad_request_error_says_what_to_do_in_all_forms(
    ask: checkpoints.ModelClient, body: dict[str, Any], status: int, message: str
) -> None:
    response = ask.client.post("/v1/rerank", json={"model": ask.model} | body)
    assert response.status_code == status, response.text
    for field in ("message", "detail", "error"):  # Cohere's, Jina's, Text Embeddings Inference's
        assert message in response.json()[field]
