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

ONE = "anna berg [MASK] in oslo."
TWO = "The [MASK] by the [MASK] was her uncle's 北京."


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("masks")


@pytest.fixture(scope="module")
def both(folder: Path) -> tuple[Model, Any]:
    """Our model and transformers' pipeline."""
    network = checkpoints.save(folder / "hf", "BertForMaskedLM")
    tokenizer = checkpoints.tokenizer_of(folder / "hf")
    pipeline = transformers.pipeline("fill-mask", model=network, tokenizer=tokenizer, device="cpu")
    return checkpoints.served(folder / "hf", folder / "work"), pipeline


@pytest.fixture(scope="module")
def ask(both: tuple[Model, Any], folder: Path) -> Iterator[Any]:
    with checkpoints.asking(both[0], folder / "work", app.TASKS) as ask:
        yield ask


def agree(ours: Any, theirs: Any) -> None:
    """The same lists of the same guesses."""
    if isinstance(theirs, list):
        assert len(ours) == len(theirs) > 0
        for one, other in zip(ours, theirs, strict=True):
            agree(one, other)
    else:
        found = msgspec.to_builtins(ours)
        assert found.pop("score") == pytest.approx(theirs["score"], abs=1e-4)
        assert found == {key: value for key, value in theirs.items() if key != "score"}


@pytest.mark.parametrize("text", [ONE, TWO])
@pytest.mark.parametrize(
    "parameters", [{}, {"top_k": 3}, {"targets": ["hotel", "bought", "mill"]}, {"targets": "hotels"}]
)
def test_guesses_are_those_of_transformers(both: tuple[Model, Any], text: str, parameters: dict[str, Any]) -> None:
    model, pipeline = both
    agree(app.predict(model, app.Request(text, app.Parameters(**parameters))).output, pipeline(text, **parameters))


def test_several_texts_at_once(both: tuple[Model, Any]) -> None:
    model, pipeline = both
    agree(app.predict(model, app.Request([ONE, TWO])).output, pipeline([ONE, TWO]))


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"inputs": "no mask"}, 400, "no [MASK]"),
        ({"inputs": "a " * 50 + "[MASK]"}, 400, "beyond the 40 tokens"),
        ({"inputs": [ONE, "none"]}, 400, "no [MASK]"),
        ({"inputs": ["[MASK] " * 30] * 3}, 413, "90 masks"),
        ({"inputs": []}, 400, "empty list"),
        ({"inputs": ONE, "parameters": {"targets": []}}, 400, "targets"),
        ({"inputs": ONE, "parameters": {"targets": ["  "]}}, 400, "targets"),
        ({"inputs": ONE, "parameters": {"top_k": 0}}, 400, "top_k"),
    ],
)
def test_bad_requests_say_what_to_do(ask: Any, body: dict[str, Any], status: int, words: str) -> None:
    answer = ask(body)
    assert answer.status_code == status
    assert words in answer.json()["error"]


def test_the_hubs_own_client_reads_the_answers(ask: Any) -> None:
    found = ask.hub().fill_mask(ONE, top_k=3, targets=["hotel", "mill", "film"])
    assert {one.token_str for one in found} == {"hotel", "mill", "film"}
    assert all(one.token_str in one.sequence for one in found)


def test_over_http_and_in_the_documentation(ask: Any) -> None:
    assert len(ask({"inputs": ONE, "parameters": {"top_k": 1000}}).json()) == len(checkpoints.VOCABULARY)
    assert "Guess" in ask.client.get("/openapi.json").text


def test_evaluation_counts_words_that_are_one_token(both: tuple[Model, Any], tmp_path: Path) -> None:
    model, _ = both
    ranked = app.predict(model, app.Request(ONE, app.Parameters(top_k=1000))).output
    place, guess = next((place, guess) for place, guess in enumerate(ranked) if guess.token_str in checkpoints.WORDS)
    (tmp_path / "words.tsv").write_text(f"{ONE}\t{guess.token_str}\n{ONE}\tunbelievable\n", encoding="utf-8")
    found = evaluation.measure(model, evaluation.read(tmp_path / "words.tsv"))
    assert (found["accuracy"], found["accuracy of the best 5"], found["covered"]) == (place < 1, place < 5, 0.5)
    assert found["perplexity"] == pytest.approx(1 / guess.score, rel=1e-3)
    (tmp_path / "plain.txt").write_text("anna berg works\nin oslo\n", encoding="utf-8")
    assert evaluation.read(tmp_path / "plain.txt")[1].inputs == "in [MASK]"
    (tmp_path / "bad.tsv").write_text("no mask\tword\n", encoding="utf-8")
    with pytest.raises(DataError, match="TAB"):
        evaluation.read(tmp_path / "bad.tsv")
