"""What is scored for each kind of answer, by models whose answers are known."""

from __future__ import annotations

import os
from typing import Any

import msgspec
import pytest

os.environ["HF_HUB_OFFLINE"] = "1"
pytest.importorskip("transformers", reason="the export extra (transformers) is not installed")

from hearth.errors import BadRequest
from hearth.task_table import TASKS
from hearth.tasks.explanation.subjects import _SUBJECTS, find_index, only_input
from hearth.tasks.schema import Explained
from hearth_build.cli.serve import tasks
from hearth_functions.fill_mask import app as fill_mask
from hearth_functions.question_answering import app as question_answering
from hearth_functions.text_ranking import app as text_ranking
from tests.functions import checkpoints

KINDS: dict[str, tuple[Any, str, dict[str, Any]]] = {
    "fill-mask": (fill_mask, "BertForMaskedLM", {}),
    "question-answering": (question_answering, "BertForQuestionAnswering", {}),
    "text-ranking": (
        text_ranking,
        "BertForSequenceClassification",
        {"id2label": {0: "LABEL_0"}, "label2id": {"LABEL_0": 0}},
    ),
}
TEXTS = ["anna berg bought it from her uncle.", "a film in oslo"]
INPUTS: dict[str, Any] = {
    "fill-mask": "anna berg [MASK] in oslo.",
    "question-answering": {"question": "who bought it?", "context": "anna berg bought the mill."},
    "text-ranking": {"query": "who bought the mill?", "texts": TEXTS},
}


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Any, Any]:
    """The task's id, its function, and a random model."""
    app, network, config = KINDS[request.param]
    folder = tmp_path_factory.mktemp(request.param)
    checkpoints.save(folder / "hf", network, **config)
    return request.param, app, checkpoints.build_model(folder / "hf", folder / "work")


def explain(kind: tuple[str, Any, Any], **options: Any) -> Any:
    name, app, model = kind
    document = {"inputs": INPUTS[name], "parameters": {"explain": options or True}}
    return app.TASKS[0].predict(model, msgspec.convert(document, app.Request)).output


def test_values_sum_to_the_score_of_the_answer(kind: tuple[str, Any, Any]) -> None:
    name, app, model = kind
    output = explain(kind)
    assert isinstance(output, Explained)
    explanation = output.explanation
    answer = app.predict(model, msgspec.convert({"inputs": INPUTS[name]}, app.Request)).output
    best = answer if name == "question-answering" else answer[0]
    assert explanation.score == pytest.approx(best.score, abs=1e-5)
    total = sum(part.value for part in explanation.parts)
    assert total == pytest.approx(explanation.score - explanation.base_score, abs=1e-5)
    assert msgspec.to_builtins(output.predictions) == msgspec.to_builtins(answer)
    assert explanation == explain(kind).explanation
    fields = {part.field for part in explanation.parts}
    assert fields == {"question-answering": {"question", "context"}, "text-ranking": {"query", "texts"}}.get(name, {""})


def test_another_answer_can_be_chosen(kind: tuple[str, Any, Any]) -> None:
    name, _, _ = kind
    if name == "question-answering":
        with pytest.raises(BadRequest, match="no answer"):
            explain(kind, target="nobody")
        return
    target = {"fill-mask": "bought", "text-ranking": "1"}[name]
    explanation = explain(kind, target=target).explanation
    assert explanation.target == target
    if name == "text-ranking":
        words = [part.text for part in explanation.parts if part.field == "texts"]
        assert words == TEXTS[1].split()
        with pytest.raises(BadRequest, match="from 0 to 1"):
            explain(kind, target="2")


@pytest.mark.parametrize("kind", ["fill-mask"], indirect=True)
def test_a_text_with_several_masks_is_refused(kind: tuple[str, Any, Any]) -> None:
    name, app, model = kind
    for inputs in ("anna [MASK] in [MASK].", ["anna [MASK] in [MASK]."]):
        request = msgspec.convert({"inputs": inputs, "parameters": {"explain": True}}, app.Request)
        with pytest.raises(BadRequest, match="one mask"):
            app.TASKS[0].predict(model, request)
    request = msgspec.convert({"inputs": [INPUTS[name]], "parameters": {"explain": True}}, app.Request)
    assert app.TASKS[0].predict(model, request).output.explanation == explain(kind).explanation


@pytest.mark.parametrize("task", [task for task in tasks() if task.row.parts], ids=lambda task: task.id)
def test_a_task_with_parts_says_what_is_explained_and_takes_the_parameter(task: Any) -> None:
    assert task.subject is not None or task.row.comparison in _SUBJECTS
    (parameters,) = (field.type for field in msgspec.structs.fields(task.request) if field.name == "parameters")
    assert "explain" in parameters.__struct_fields__


@pytest.mark.parametrize("task", [task for task in tasks() if not task.row.parts], ids=lambda task: task.id)
def test_other_tasks_have_no_such_parameter(task: Any) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(task.example | {"parameters": {"explain": True}}, task.request)


def test_every_kind_of_answer_is_of_a_task() -> None:
    assert set(_SUBJECTS) <= {row.comparison for row in TASKS.values() if row.parts}


def test_one_input_is_explained() -> None:
    assert only_input(["a"]) == only_input("a") == "a"
    with pytest.raises(BadRequest, match="One input"):
        only_input(["a", "b"])
    for wrong in ("-1", "3", "one", "²", ""):
        with pytest.raises(BadRequest, match="from 0 to 2"):
            find_index(wrong, "abc", "text")
