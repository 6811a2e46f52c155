"""Texts with a model's labels and with the caller's, against transformers' own pipelines on the same checkpoint."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hearth.errors import BadRequest, HearthError, PayloadTooLarge
from hearth.models.cache import warm_cache
from tests.support.asking import predict

os.environ["HF_HUB_OFFLINE"] = "1"
transformers = pytest.importorskip("transformers", reason="the export extra (transformers) is not installed")

from hearth.models.model import Model  # noqa: E402
from hearth_build.data.datasets import DataError  # noqa: E402
from hearth_build.evaluations import text_classification as evaluation  # noqa: E402
from hearth_functions.text_classification import app  # noqa: E402
from tests.functions import checkpoints  # noqa: E402

TEXT = "Anna Berg bought a hotel in New York, and her uncle was unbelievable!"
TEXTS = [TEXT, "bad film", TEXT * 3]
LABELS = ["film", "hotel rooms", "york"]


def config(*labels: str, **options: Any) -> dict[str, Any]:
    return {
        "id2label": dict(enumerate(labels)),
        "label2id": {name: index for index, name in enumerate(labels)},
        **options,
    }


def both_of(folder: Path, task: str, **config: Any) -> tuple[Model, Any]:
    """Return our model and transformers' pipeline."""
    network = checkpoints.save(folder / "hf", "BertForSequenceClassification", **config)
    pipeline = transformers.pipeline(
        task, model=network, tokenizer=checkpoints.tokenizer_of(folder / "hf"), device="cpu"
    )
    return checkpoints.build_model(folder / "hf", folder / "work"), pipeline


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("entailment")


@pytest.fixture(scope="module")
def both(folder: Path) -> tuple[Model, Any]:
    return both_of(folder, "zero-shot-classification", **config("contradiction", "neutral", "ENTAILMENT"))


@pytest.fixture(scope="module")
def ask(both: tuple[Model, Any], folder: Path) -> Iterator[Any]:
    with checkpoints.serve(both[0], folder / "work", app.TASKS) as ask:
        yield ask


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("labels", [LABELS, "good, bad", ["hotel"]])
@pytest.mark.parametrize("options", [{}, {"multi_label": True}, {"hypothesis_template": "her uncle was in {}"}])
def test_labels_and_scores_equal_those_of_transformers(
    both: tuple[Model, Any], text: str, labels: Any, options: dict[str, Any]
) -> None:
    model, pipeline = both
    request = app.ZeroShotRequest(text, app.ZeroShotParameters(labels, **options))
    ours: Any = app.predict_zero_shot(model, request).output
    theirs = pipeline(text, candidate_labels=labels, **options)
    assert [score.label for score in ours] == theirs["labels"]
    assert [score.score for score in ours] == pytest.approx(theirs["scores"], abs=1e-4)


def test_contradiction_is_found_by_name(tmp_path: Path) -> None:
    checkpoints.save(tmp_path, "BertForSequenceClassification", **config("entailment", "neutral", "contradiction"))
    head = checkpoints.load(tmp_path).head
    assert (head.entailment, head.contradiction) == (0, 2)  # type: ignore[union-attr]


def test_the_model_serves_both_tasks_over_http(ask: Any) -> None:
    body = {"inputs": TEXT, "parameters": {"candidate_labels": LABELS, "multi_label": False}}
    labels = ask(body).json()
    assert [*labels[0]] == ["label", "score"]
    assert sum(score["score"] for score in labels) == pytest.approx(1, abs=1e-5)
    assert len(ask(body | {"inputs": TEXTS}, "zero-shot-classification").json()) == 3
    plain = ask({"inputs": TEXT}, "text-classification").json()
    assert {score["label"] for score in plain[0]} == {"contradiction", "neutral", "ENTAILMENT"}
    assert "candidate_labels" in ask.client.get("/openapi.json").text


def test_the_hugging_face_client_reads_the_response(ask: Any) -> None:
    results = ask.hub().zero_shot_classification(TEXT, LABELS, multi_label=True, hypothesis_template="a {} film")
    assert {result.label for result in results} == set(LABELS)
    assert all(0 < result.score < 1 for result in results)


@pytest.mark.parametrize(
    ("inputs", "parameters", "status", "message"),
    [
        (TEXT, None, 400, "parameters"),
        (TEXT, {"candidate_labels": []}, 400, "candidate_labels"),
        (TEXT, {"candidate_labels": " , "}, 400, "candidate_labels"),
        (TEXT, {"candidate_labels": ["a"], "hypothesis_template": "{0.x}"}, 400, "{}"),
        (TEXT, {"candidate_labels": ["hotel " * 50]}, 400, "no room"),
        ([TEXT] * 10, {"candidate_labels": ["a"] * 60}, 413, "512"),
        ([], {"candidate_labels": ["a"]}, 400, "empty list"),
    ],
)
def test_a_bad_request_error_says_what_to_do(ask: Any, inputs: Any, parameters: Any, status: int, message: str) -> None:
    response = ask({"inputs": inputs} | ({} if parameters is None else {"parameters": parameters}))
    assert response.status_code == status
    assert message in response.json()["error"]


def test_a_classifier_with_its_own_labels_is_a_bad_request(serving: Path) -> None:
    request = app.ZeroShotRequest("good", app.ZeroShotParameters(["a"]))
    with pytest.raises(app.BadRequest, match="only its own labels"), warm_cache().get("sentiment-en") as model:
        app.predict_zero_shot(model, request)


@pytest.mark.parametrize("function", [None, "sigmoid", "softmax", "none"])
def test_multi_label_scores_equal_those_of_transformers(
    function: Any, tmp_path_factory: pytest.TempPathFactory, multi: tuple[Model, Any]
) -> None:
    model, pipeline = multi
    options = {} if function is None else {"function_to_apply": function}
    ours = app.predict(model, app.Request(TEXTS[:2], app.Parameters(**options))).output
    for actual, expected in zip(ours, pipeline(TEXTS[:2], top_k=None, **options), strict=True):
        assert [score.label for score in actual] == [score["label"] for score in expected]
        assert [score.score for score in actual] == pytest.approx([score["score"] for score in expected], abs=1e-4)


@pytest.fixture(scope="module")
def multi(tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, Any]:
    labels = config("rude", "kind", "long", problem_type="multi_label_classification")
    return both_of(tmp_path_factory.mktemp("multi"), "text-classification", **labels)


def test_evaluation_reads_labels_by_name(both: tuple[Model, Any], multi: tuple[Model, Any], tmp_path: Path) -> None:
    best = evaluation.top_label(evaluation.predict(both[0], {"inputs": TEXT, "candidate_labels": ["film", "hotel"]}))
    (tmp_path / "named.tsv").write_text(f"{TEXT}\t{best}\n", encoding="utf-8")
    (tmp_path / "two.tsv").write_text(f"{TEXT}\tfilm\n{TEXT}\thotel\n", encoding="utf-8")
    assert evaluation.EVALUATION.measure(both[0], evaluation.read(tmp_path / "two.tsv"))["accuracy"] == 0.5
    with pytest.raises(DataError, match="rude, kind, long"):
        evaluation.EVALUATION.measure(multi[0], evaluation.read(tmp_path / "named.tsv"))


def test_batches_have_the_scores_of_single_texts(serving: Path) -> None:
    texts = ["i love this movie", "an awful film", "我非常喜欢这个电影"]
    batched = predict(app, "sentiment-en", app.Request(texts))
    assert [labels[0].label for labels in batched] == ["positive", "negative", "positive"]
    alone = [predict(app, "sentiment-en", app.Request(single))[0] for single in texts]
    for actual, expected in zip(batched, alone, strict=True):
        np.testing.assert_allclose([item.score for item in actual], [item.score for item in expected], atol=1e-6)
    assert sum(item.score for item in batched[0]) == pytest.approx(1)


def test_top_k_and_function_to_apply_are_used(serving: Path) -> None:
    parameters = app.Parameters(top_k=1, function_to_apply="none")
    assert len(predict(app, "sentiment-en", app.Request("good", parameters))[0]) == 1
    parameters = app.Parameters(function_to_apply="sigmoid")
    assert predict(app, "sentiment-en", app.Request("the", parameters))[0][0].score == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("inputs", "error"),
    [([], BadRequest), (["a"] * 33, PayloadTooLarge), ("a" * 10_001, PayloadTooLarge)],
)
def test_texts_beyond_the_limits_are_refused(serving: Path, inputs: str | list[str], error: type[HearthError]) -> None:
    with pytest.raises(error):
        predict(app, "sentiment-en", app.Request(inputs))


@pytest.mark.parametrize("empty", ["", " ", "\n\t", "\u200b", "\u00a0\u3000"])
def test_an_empty_text_is_not_classified(serving: Path, empty: str) -> None:
    for inputs, number in ((empty, 1), (["good", empty], 2)):
        with pytest.raises(BadRequest, match=f"Text {number} of `inputs` is empty"):
            predict(app, "sentiment-en", app.Request(inputs))


@pytest.mark.parametrize("short", ["🙂", "!", "好", "a"])
def test_a_short_text_is_classified(serving: Path, short: str) -> None:
    assert predict(app, "sentiment-en", app.Request(short))
