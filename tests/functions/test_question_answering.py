"""question-answering against a plain reference on the same checkpoint.

transformers 5 has no question-answering pipeline any more, so the reference here does what that of transformers 4 did,
span by span, with the windows of transformers' tokenizer and the logits of its model.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

os.environ["HF_HUB_OFFLINE"] = "1"
transformers = pytest.importorskip("transformers", reason="the export extra (transformers) is not installed")
import torch  # noqa: E402

from hearth.models.model import Model  # noqa: E402
from hearth_build.data.datasets import DataError  # noqa: E402
from hearth_build.evaluations import question_answering as evaluation  # noqa: E402
from hearth_functions.question_answering import app  # noqa: E402
from tests.functions import checkpoints  # noqa: E402

SHORT = "Anna Berg bought the mill and her uncle was in Oslo."
LONG = (
    "The mill by the river was bought 1873. Her uncle works in a hotel of ten rooms in Oslo, and Anna in Berlin! " * 3
)
QUESTION = "Who bought the fixers?"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("spans")


@pytest.fixture(scope="module")
def both(folder: Path) -> tuple[Model, Any]:
    """Our model and transformers' own."""
    network = checkpoints.save(folder / "hf", "BertForQuestionAnswering")
    return checkpoints.served(folder / "hf", folder / "work"), network


@pytest.fixture(scope="module")
def ask(both: tuple[Model, Any], folder: Path) -> Iterator[Any]:
    with checkpoints.asking(both[0], folder / "work", app.TASKS) as ask:
        yield ask


def reference(
    network: Any,
    tokenizer: Any,
    context: str,
    top_k: int,
    longest: int,
    size: int,
    stride: int,
    empty: bool,
    align: bool,
) -> list[dict[str, Any]]:
    """What transformers 4's pipeline answers."""
    rows = tokenizer(
        QUESTION, context, truncation="only_second", max_length=size, stride=stride, return_overflowing_tokens=True
    )
    answers: list[dict[str, Any]] = []
    impossible = 1e6
    for number in range(len(rows["input_ids"])):
        encoding = rows.encodings[number]
        names = ("input_ids", "attention_mask", "token_type_ids")
        with torch.no_grad():
            output = network(**{name: torch.tensor([rows[name][number]]) for name in names})
        inside = [sequence == 1 for sequence in encoding.sequence_ids]
        ends = []
        for logits in (output.start_logits[0], output.end_logits[0]):
            chosen = [
                value.item() if ok or at == 0 else -1e4
                for at, (value, ok) in enumerate(zip(logits, inside, strict=True))
            ]
            powers = np.exp(np.array(chosen) - max(chosen))
            ends.append(powers / powers.sum())
        impossible = min(impossible, ends[0][0] * ends[1][0])
        candidates = [
            (ends[0][first] * ends[1][last], first, last)
            for first in range(1, len(inside))
            for last in range(first, min(first + longest, len(inside)))
            if inside[first] and inside[last]
        ]
        for score, first, last in sorted(candidates, reverse=True)[: top_k * 2 + 10 if align else top_k]:
            start, end = encoding.offsets[first][0], encoding.offsets[last][1]
            if align:
                start = encoding.word_to_chars(encoding.token_to_word(first), 1)[0]
                end = encoding.word_to_chars(encoding.token_to_word(last), 1)[1]
            text = context[start:end]
            same = [answer for answer in answers if answer["answer"].lower() == text.lower()]
            if same:
                same[0]["score"] += score
            else:
                answers.append({"score": score, "start": start, "end": end, "answer": text})
    if empty:
        answers.append({"score": impossible, "start": 0, "end": 0, "answer": ""})
    return sorted(answers, key=lambda answer: -answer["score"])[:top_k]


@pytest.mark.parametrize(
    ("context", "top_k", "longest", "size", "stride", "empty", "align"),
    [
        (SHORT, 1, 15, 40, 10, False, True),
        (SHORT, 7, 4, 40, 10, True, True),
        (LONG, 1, 15, 40, 10, True, True),
        (LONG, 9, 15, 32, 0, True, True),
        (LONG, 9, 3, 30, 12, False, False),
    ],
)
def test_answers_are_the_references(
    both: tuple[Model, Any],
    folder: Path,
    context: str,
    top_k: int,
    longest: int,
    size: int,
    stride: int,
    empty: bool,
    align: bool,
) -> None:
    model, network = both
    parameters = app.Parameters(top_k, longest, stride, size, None, empty, align)
    ours = app.predict(model, app.Request(app.Pair(QUESTION, context), parameters)).output
    tokenizer = checkpoints.tokenizer_of(folder / "hf")
    theirs = reference(network, tokenizer, context, top_k, longest, size, stride, empty, align)
    found = msgspec.to_builtins(ours if isinstance(ours, list) else [ours])
    assert len(found) == len(theirs) == top_k
    assert [one["score"] for one in found] == pytest.approx([one["score"] for one in theirs], abs=1e-4)
    assert [{**one, "score": 0} for one in found] == [{**one, "score": 0} for one in theirs]


def test_several_pairs_answer_like_single_ones(both: tuple[Model, Any]) -> None:
    model, _ = both
    pairs = [app.Pair(QUESTION, LONG), app.Pair("Where?", SHORT)]
    together = app.predict(model, app.Request(pairs)).output
    assert isinstance(together, list)
    for pair, one in zip(pairs, together, strict=True):
        alone = app.predict(model, app.Request(pair)).output
        assert isinstance(one, app.Answer)
        assert isinstance(alone, app.Answer)
        assert (one.answer, one.start) == (alone.answer, alone.start)
        assert one.score == pytest.approx(alone.score, abs=1e-5)
        assert pair.context[one.start : one.end] == one.answer


@pytest.mark.parametrize(
    ("inputs", "parameters", "status", "words"),
    [
        ({"question": "Who?", "context": " "}, {}, 400, "`context` is empty"),
        ({"question": "", "context": SHORT}, {}, 400, "`question` is empty"),
        ({"question": "Who?"}, {}, 400, "context"),
        ({"question": "who " * 40, "context": SHORT}, {}, 400, "no room"),
        ({"question": "Who?", "context": SHORT}, {"doc_stride": 39}, 400, "doc_stride"),
        ({"question": "Who?", "context": SHORT}, {"max_seq_len": 3}, 400, "no room"),
        ({"question": "Who?", "context": "a" * 20_001}, {}, 413, "20001 characters"),
        ([], {}, 400, "empty list"),
        ([{"question": "Who?", "context": SHORT}] * 65, {}, 413, "65 pairs"),
        ("Who?", {}, 400, "inputs"),
    ],
)
def test_bad_requests_say_what_to_do(
    ask: Any, inputs: Any, parameters: dict[str, Any], status: int, words: str
) -> None:
    answer = ask({"inputs": inputs, "parameters": parameters})
    assert answer.status_code == status
    assert words in answer.json()["error"]


def test_the_hubs_own_client_reads_the_answers(ask: Any) -> None:
    found = ask.hub().question_answering(
        question="Who?", context=SHORT, align_to_words=True, doc_stride=8, max_seq_len=32, max_question_len=6, top_k=1
    )
    assert SHORT[found.start : found.end] == found.answer


def test_over_http_and_in_the_documentation(ask: Any) -> None:
    body = {"inputs": {"question": "who " * 40, "context": SHORT}, "parameters": {"max_question_len": 5}}
    assert set(ask(body, "question-answering").json()) == {"answer", "score", "start", "end"}
    assert len(ask(body | {"parameters": {"top_k": 3, "max_question_len": 5}}).json()) == 3
    assert "max_answer_len" in ask.client.get("/openapi.json").text


def test_evaluation_counts_as_squad_does(both: tuple[Model, Any], tmp_path: Path) -> None:
    model, _ = both
    right = evaluation.predict(model, {"question": "Where?", "context": SHORT})["answer"]
    asked = [
        {"question": "Where?", "answers": [{"text": f"the {right}!"}, {"text": "nothing"}]},
        {"question": "Where?", "answers": [{"text": "nothing of it"}]},
    ]
    paragraph = {"context": SHORT, "qas": asked}
    (tmp_path / "dev.json").write_text(json.dumps({"data": [{"paragraphs": [paragraph]}]}), encoding="utf-8")
    found = evaluation.measure(model, evaluation.read(tmp_path / "dev.json"))
    assert found["exact match"] == 0.5
    assert evaluation.word_f1(["big", "mill"], ["mill"]) == pytest.approx(2 / 3)
    (tmp_path / "bad.json").write_text("[]", encoding="utf-8")
    with pytest.raises(DataError, match="SQuAD"):
        evaluation.read(tmp_path / "bad.json")
