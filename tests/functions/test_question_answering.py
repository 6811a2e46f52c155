"""question-answering against a plain reference on the same checkpoint.

transformers 5 has no question-answering pipeline. The reference here repeats what the pipeline of transformers 4 did,
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
    """Return our model and that of transformers."""
    network = checkpoints.save(folder / "hf", "BertForQuestionAnswering")
    return checkpoints.build_model(folder / "hf", folder / "work"), network


@pytest.fixture(scope="module")
def ask(both: tuple[Model, Any], folder: Path) -> Iterator[Any]:
    with checkpoints.serve(both[0], folder / "work", app.TASKS) as ask:
        yield ask


def reference(
    network: Any,
    tokenizer: Any,
    context: str,
    top_k: int,
    max_answer_len: int,
    max_seq_len: int,
    doc_stride: int,
    handle_impossible: bool,
    align_to_words: bool,
) -> list[dict[str, Any]]:
    """Return what transformers 4's pipeline returns."""
    rows = tokenizer(
        QUESTION,
        context,
        truncation="only_second",
        max_length=max_seq_len,
        stride=doc_stride,
        return_overflowing_tokens=True,
    )
    answers: list[dict[str, Any]] = []
    min_null_score = 1e6
    for number in range(len(rows["input_ids"])):
        encoding = rows.encodings[number]
        names = ("input_ids", "attention_mask", "token_type_ids")
        with torch.no_grad():
            output = network(**{name: torch.tensor([rows[name][number]]) for name in names})
        in_context = [sequence == 1 for sequence in encoding.sequence_ids]
        probabilities = []
        for logits in (output.start_logits[0], output.end_logits[0]):
            masked = [
                value.item() if allowed or index == 0 else -1e4
                for index, (value, allowed) in enumerate(zip(logits, in_context, strict=True))
            ]
            powers = np.exp(np.array(masked) - max(masked))
            probabilities.append(powers / powers.sum())
        min_null_score = min(min_null_score, probabilities[0][0] * probabilities[1][0])
        candidates = [
            (probabilities[0][first] * probabilities[1][last], first, last)
            for first in range(1, len(in_context))
            for last in range(first, min(first + max_answer_len, len(in_context)))
            if in_context[first] and in_context[last]
        ]
        for score, first, last in sorted(candidates, reverse=True)[: top_k * 2 + 10 if align_to_words else top_k]:
            start, end = encoding.offsets[first][0], encoding.offsets[last][1]
            if align_to_words:
                start = encoding.word_to_chars(encoding.token_to_word(first), 1)[0]
                end = encoding.word_to_chars(encoding.token_to_word(last), 1)[1]
            text = context[start:end]
            duplicates = [answer for answer in answers if answer["answer"].lower() == text.lower()]
            if duplicates:
                duplicates[0]["score"] += score
            else:
                answers.append({"score": score, "start": start, "end": end, "answer": text})
    if handle_impossible:
        answers.append({"score": min_null_score, "start": 0, "end": 0, "answer": ""})
    return sorted(answers, key=lambda answer: -answer["score"])[:top_k]


@pytest.mark.parametrize(
    ("context", "top_k", "max_answer_len", "max_seq_len", "doc_stride", "handle_impossible", "align_to_words"),
    [
        (SHORT, 1, 15, 40, 10, False, True),
        (SHORT, 7, 4, 40, 10, True, True),
        (LONG, 1, 15, 40, 10, True, True),
        (LONG, 9, 15, 32, 0, True, True),
        (LONG, 9, 3, 30, 12, False, False),
    ],
)
def test_answers_equal_the_references(
    both: tuple[Model, Any],
    folder: Path,
    context: str,
    top_k: int,
    max_answer_len: int,
    max_seq_len: int,
    doc_stride: int,
    handle_impossible: bool,
    align_to_words: bool,
) -> None:
    model, network = both
    parameters = app.Parameters(top_k, max_answer_len, doc_stride, max_seq_len, None, handle_impossible, align_to_words)
    ours = app.predict(model, app.Request(app.Pair(QUESTION, context), parameters)).output
    tokenizer = checkpoints.tokenizer_of(folder / "hf")
    theirs = reference(
        network, tokenizer, context, top_k, max_answer_len, max_seq_len, doc_stride, handle_impossible, align_to_words
    )
    actual = msgspec.to_builtins(ours if isinstance(ours, list) else [ours])
    assert len(actual) == len(theirs) == top_k
    assert [answer["score"] for answer in actual] == pytest.approx([answer["score"] for answer in theirs], abs=1e-4)
    assert [{**answer, "score": 0} for answer in actual] == [{**answer, "score": 0} for answer in theirs]


def test_a_list_of_pairs_has_the_answers_of_single_pairs(both: tuple[Model, Any]) -> None:
    model, _ = both
    pairs = [app.Pair(QUESTION, LONG), app.Pair("Where?", SHORT)]
    batched = app.predict(model, app.Request(pairs)).output
    assert isinstance(batched, list)
    for pair, answer in zip(pairs, batched, strict=True):
        alone = app.predict(model, app.Request(pair)).output
        assert isinstance(answer, app.Answer)
        assert isinstance(alone, app.Answer)
        assert (answer.answer, answer.start) == (alone.answer, alone.start)
        assert answer.score == pytest.approx(alone.score, abs=1e-5)
        assert pair.context[answer.start : answer.end] == answer.answer


@pytest.mark.parametrize(
    ("inputs", "parameters", "status", "message"),
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
def test_a_bad_request_error_says_what_to_do(
    ask: Any, inputs: Any, parameters: dict[str, Any], status: int, message: str
) -> None:
    response = ask({"inputs": inputs, "parameters": parameters})
    assert response.status_code == status
    assert message in response.json()["error"]


def test_the_hugging_face_client_reads_the_response(ask: Any) -> None:
    answer = ask.hub().question_answering(
        question="Who?", context=SHORT, align_to_words=True, doc_stride=8, max_seq_len=32, max_question_len=6, top_k=1
    )
    assert SHORT[answer.start : answer.end] == answer.answer


def test_the_task_is_served_over_http_and_documented(ask: Any) -> None:
    body = {"inputs": {"question": "who " * 40, "context": SHORT}, "parameters": {"max_question_len": 5}}
    assert set(ask(body, "question-answering").json()) == {"answer", "score", "start", "end"}
    assert len(ask(body | {"parameters": {"top_k": 3, "max_question_len": 5}}).json()) == 3
    assert "max_answer_len" in ask.client.get("/openapi.json").text


def test_evaluation_measures_as_squad_does(both: tuple[Model, Any], tmp_path: Path) -> None:
    model, _ = both
    correct = evaluation.predict(model, {"question": "Where?", "context": SHORT})["answer"]
    questions = [
        {"question": "Where?", "answers": [{"text": f"the {correct}!"}, {"text": "nothing"}]},
        {"question": "Where?", "answers": [{"text": "nothing of it"}]},
    ]
    paragraph = {"context": SHORT, "qas": questions}
    (tmp_path / "dev.json").write_text(json.dumps({"data": [{"paragraphs": [paragraph]}]}), encoding="utf-8")
    examples = evaluation.EVALUATION.read(tmp_path / "dev.json")
    metrics = evaluation.score(model, examples, evaluation.outputs(model, examples))
    assert metrics["exact match"] == 0.5
    assert evaluation.word_f1(["big", "mill"], ["mill"]) == pytest.approx(2 / 3)
    for content, message in (("[]", "has no rows"), ('{"data": [{"paragraphs": [{}]}]}', "must be .*SQuAD")):
        (tmp_path / "bad.json").write_text(content, encoding="utf-8")
        with pytest.raises(DataError, match=message):
            evaluation.EVALUATION.read(tmp_path / "bad.json")
