"""fill-mask against transformers' own pipeline on the same checkpoint."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

os.environ["HF_HUB_OFFLINE"] = "1"
transformers = pytest.importorskip("transformers", reason="the export extra (transformers) is not installed")

from hearth.models.model import Model  # noqa: E402
from hearth_build.data.datasets import DataError  # noqa: E402
from hearth_build.evaluations import fill_mask as evaluation  # noqa: E402
from hearth_functions.fill_mask import app  # noqa: E402
from tests.functions import checkpoints  # noqa: E402

ONE_MASK = "anna berg [MASK] in oslo."
TWO_MASKS = "The [MASK] by the [MASK] was her uncle's 北京."


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("masks")


@pytest.fixture(scope="module")
def both(folder: Path) -> tuple[Model, Any]:
    """Return our model and transformers' pipeline."""
    network = checkpoints.save(folder / "hf", "BertForMaskedLM")
    tokenizer = checkpoints.tokenizer_of(folder / "hf")
    pipeline = transformers.pipeline("fill-mask", model=network, tokenizer=tokenizer, device="cpu")
    return checkpoints.build_model(folder / "hf", folder / "work"), pipeline


@pytest.fixture(scope="module")
def ask(both: tuple[Model, Any], folder: Path) -> Iterator[Any]:
    with checkpoints.serve(both[0], folder / "work", app.TASKS) as ask:
        yield ask


def agree(ours: Any, theirs: Any) -> None:
    """Assert that both give the same lists of the same tokens."""
    if isinstance(theirs, list):
        assert len(ours) == len(theirs) > 0
        for our_item, their_item in zip(ours, theirs, strict=True):
            agree(our_item, their_item)
    else:
        actual = msgspec.to_builtins(ours)
        assert actual.pop("score") == pytest.approx(theirs["score"], abs=1e-4)
        assert actual == {key: value for key, value in theirs.items() if key != "score"}


@pytest.mark.parametrize("text", [ONE_MASK, TWO_MASKS])
@pytest.mark.parametrize(
    "parameters", [{}, {"top_k": 3}, {"targets": ["hotel", "bought", "mill"]}, {"targets": "hotels"}]
)
def test_tokens_equal_those_of_transformers(both: tuple[Model, Any], text: str, parameters: dict[str, Any]) -> None:
    model, pipeline = both
    agree(app.predict(model, app.Request(text, app.Parameters(**parameters))).output, pipeline(text, **parameters))


def test_a_list_of_texts_equals_that_of_transformers(both: tuple[Model, Any]) -> None:
    model, pipeline = both
    agree(app.predict(model, app.Request([ONE_MASK, TWO_MASKS])).output, pipeline([ONE_MASK, TWO_MASKS]))


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"inputs": "no mask"}, 400, "no [MASK]"),
        ({"inputs": "a " * 50 + "[MASK]"}, 400, "beyond the 40 tokens"),
        ({"inputs": [ONE_MASK, "none"]}, 400, "no [MASK]"),
        ({"inputs": ["[MASK] " * 30] * 3}, 413, "90 masks"),
        ({"inputs": []}, 400, "empty list"),
        ({"inputs": ONE_MASK, "parameters": {"targets": []}}, 400, "targets"),
        ({"inputs": ONE_MASK, "parameters": {"targets": ["  "]}}, 400, "targets"),
        ({"inputs": ONE_MASK, "parameters": {"top_k": 0}}, 400, "top_k"),
    ],
)
def test_a_bad_request_error_says_what_to_do(ask: Any, body: dict[str, Any], status: int, message: str) -> None:
    response = ask(body)
    assert response.status_code == status
    assert message in response.json()["error"]


def test_the_hugging_face_client_reads_the_response(ask: Any) -> None:
    results = ask.hub().fill_mask(ONE_MASK, top_k=3, targets=["hotel", "mill", "film"])
    assert {result.token_str for result in results} == {"hotel", "mill", "film"}
    assert all(result.token_str in result.sequence for result in results)


def test_the_task_is_served_over_http_and_documented(ask: Any) -> None:
    assert len(ask({"inputs": ONE_MASK, "parameters": {"top_k": 1000}}).json()) == len(checkpoints.VOCABULARY)
    assert "Guess" in ask.client.get("/openapi.json").text


def test_evaluation_counts_only_words_of_one_token(both: tuple[Model, Any], tmp_path: Path) -> None:
    model, _ = both
    ranked = app.predict(model, app.Request(ONE_MASK, app.Parameters(top_k=1000))).output
    rank, guess = next((rank, guess) for rank, guess in enumerate(ranked) if guess.token_str in checkpoints.WORDS)
    (tmp_path / "words.tsv").write_text(f"{ONE_MASK}\t{guess.token_str}\n{ONE_MASK}\tunbelievable\n", encoding="utf-8")
    metrics = evaluation.measure(model, evaluation.read(tmp_path / "words.tsv"))
    assert (metrics["accuracy"], metrics["accuracy of the best 5"], metrics["covered"]) == (rank < 1, rank < 5, 0.5)
    assert metrics["perplexity"] == pytest.approx(1 / guess.score, rel=1e-3)
    (tmp_path / "plain.txt").write_text("anna berg works\nin oslo\n", encoding="utf-8")
    assert evaluation.read(tmp_path / "plain.txt")[1].inputs == "in [MASK]"
    (tmp_path / "bad.tsv").write_text("no mask\tword\n", encoding="utf-8")
    with pytest.raises(DataError, match="TAB"):
        evaluation.read(tmp_path / "bad.tsv")
