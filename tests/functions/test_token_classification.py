"""token-classification against transformers' own pipeline on the same checkpoint."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from tokenizers import Regex, Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Split

os.environ["HF_HUB_OFFLINE"] = "1"
transformers = pytest.importorskip("transformers", reason="the export extra (transformers) is not installed")

from hearth.models.model import Model  # noqa: E402
from hearth.ops.text.entities import gather_pre_entities  # noqa: E402
from hearth_build.data.datasets import DataError  # noqa: E402
from hearth_build.evaluations import token_classification as evaluation  # noqa: E402
from hearth_build.recipe import Example  # noqa: E402
from hearth_functions.token_classification import app  # noqa: E402
from tests.functions import checkpoints  # noqa: E402

LABELS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
TEXTS = (
    "Anna Berg works in Oslo, and her uncle in New York!",
    "Unbelievableing quizzed fixer",
    "我非常喜欢这个电影 in Berlin — déjà ☃ vu",
    "Anna's hotel-film 1873 is bad.",
)
LONG = " ".join(TEXTS[:2] * 6)
STRATEGIES = ("none", "simple", "first", "average", "max")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tokens")


@pytest.fixture(scope="module")
def both(folder: Path) -> tuple[Model, Any]:
    """Return our model and transformers' pipeline."""
    numbers = dict(enumerate(LABELS))
    network = checkpoints.save(
        folder / "hf",
        "BertForTokenClassification",
        id2label=numbers,
        label2id={label: number for number, label in numbers.items()},
    )
    pipeline = transformers.pipeline(
        "token-classification", model=network, tokenizer=checkpoints.tokenizer_of(folder / "hf"), device="cpu"
    )
    return checkpoints.build_model(folder / "hf", folder / "work"), pipeline


@pytest.fixture(scope="module")
def ask(both: tuple[Model, Any], folder: Path) -> Iterator[Any]:
    with checkpoints.serve(both[0], folder / "work", app.TASKS) as ask:
        yield ask


def agree(ours: list[app.Entity], theirs: list[dict[str, Any]]) -> None:
    assert theirs
    actual = msgspec.to_builtins(ours)
    assert [{key: entity[key] for key in entity if key != "score"} for entity in actual] == [
        {key: entity[key] for key in entity if key != "score"} for entity in theirs
    ]
    assert [entity["score"] for entity in actual] == pytest.approx([entity["score"] for entity in theirs], abs=1e-4)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("text", TEXTS)
def test_entities_equal_those_of_transformers(both: tuple[Model, Any], text: str, strategy: Any) -> None:
    model, pipeline = both
    ours = app.predict(model, app.Request(text, app.Parameters(aggregation_strategy=strategy))).output
    agree(ours, pipeline(text, aggregation_strategy=strategy))


@pytest.mark.parametrize("strategy", STRATEGIES[1:])
@pytest.mark.parametrize("stride", [0, 7])
def test_entities_of_long_texts_equal_those_of_transformers(
    both: tuple[Model, Any], strategy: Any, stride: int
) -> None:
    model, pipeline = both
    ours = app.predict(model, app.Request(LONG, app.Parameters(aggregation_strategy=strategy, stride=stride))).output
    assert ours[-1].end > len(LONG) // 2
    agree(ours, pipeline(LONG, aggregation_strategy=strategy, stride=stride))


def test_a_tokenizer_without_marked_pieces_falls_back_to_spaces() -> None:
    tokenizer = Tokenizer(WordLevel({letter: number for number, letter in enumerate("abc ")}))
    tokenizer.pre_tokenizer = Split(Regex("."), "isolated")
    row = tokenizer.encode("ab c")
    pieces = gather_pre_entities(tokenizer, row, "ab c", np.zeros((4, 2), np.float32))
    assert [(piece.word, piece.is_subword) for piece in pieces] == [
        ("a", False),
        ("b", True),
        (" ", False),
        ("c", False),
    ]


def test_a_list_has_the_entities_of_its_single_texts(both: tuple[Model, Any]) -> None:
    model, _ = both
    batched = app.predict(model, app.Request([*TEXTS, LONG, ""])).output
    alone = [app.predict(model, app.Request(text)).output for text in TEXTS]
    for actual, expected in zip(batched, alone, strict=False):
        assert [(e.start, e.end, e.entity_group) for e in actual] == [
            (e.start, e.end, e.entity_group) for e in expected
        ]
    assert batched[-2][-1].end > len(LONG) // 2
    assert batched[-1] == []


def test_labels_can_be_ignored(both: tuple[Model, Any]) -> None:
    model, pipeline = both
    parameters = app.Parameters(aggregation_strategy="simple", ignore_labels=("O", "PER"))
    agree(
        app.predict(model, app.Request(TEXTS[0], parameters)).output,
        pipeline(TEXTS[0], aggregation_strategy="simple", ignore_labels=["O", "PER"]),
    )


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"inputs": []}, 400, "empty list"),
        ({"inputs": ["a"] * 65}, 413, "65 texts"),
        ({"inputs": "a" * 20_001}, 413, "20001 characters"),
        ({"inputs": "a", "parameters": {"stride": 38}}, 400, "stride"),
        ({"inputs": "a", "parameters": {"aggregation_strategy": "best"}}, 400, "aggregation_strategy"),
        ({"inputs": 5}, 400, "inputs"),
    ],
)
def test_a_bad_request_error_says_what_to_do(ask: Any, body: dict[str, Any], status: int, message: str) -> None:
    response = ask(body)
    assert response.status_code == status
    assert message in response.json()["error"]


def test_the_hugging_face_client_reads_the_response(ask: Any) -> None:
    entities = ask.hub().token_classification(TEXTS[0], aggregation_strategy="first", ignore_labels=["PER"], stride=3)
    assert entities
    assert all(
        TEXTS[0][entity.start : entity.end].lower() == entity.word and entity.entity_group for entity in entities
    )
    assert all(entity.entity for entity in ask.hub().token_classification(TEXTS[0], aggregation_strategy="none"))


def test_the_task_is_served_over_http_and_documented(ask: Any) -> None:
    assert "entity_group" in ask.client.get("/openapi.json").text
    assert ask({"inputs": TEXTS[0]}, "token-classification").json()


CONLL = "-DOCSTART- -X- O\n\nAnna NNP B-PER\nBerg NNP I-PER\nin IN O\nOslo NNP B-LOC\n. . O\n"


def test_evaluation_counts_whole_entities(both: tuple[Model, Any]) -> None:
    model, _ = both
    entities = [[e.start, e.end, e.entity_group] for e in app.predict(model, app.Request(TEXTS[0])).output]
    examples = [
        Example(TEXTS[0], entities),
        Example(TEXTS[0], [*entities[1:], [entities[0][0], entities[0][1] + 1, entities[0][2]]]),
    ]
    assert evaluation.EVALUATION.measure(model, examples[:1])["F1"] == 1
    assert evaluation.EVALUATION.measure(model, examples)["F1"] == pytest.approx(1 - 0.5 / len(entities), abs=1e-6)
    with pytest.raises(DataError, match="MISC"):
        evaluation.EVALUATION.measure(model, [Example("a", [[0, 1, "MISC"]])])
