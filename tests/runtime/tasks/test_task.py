"""Tasks: which one serves a model, and what its predictions used."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from hearth.errors import BadRequest, NotFound
from hearth.tasks.task import Prediction, Task, TaskReference, Usage, choose_task


class Request(msgspec.Struct):
    inputs: str


def task(name: str, **options: Any) -> Task:
    def function(model: Any, request: Any) -> Prediction:
        return Prediction(f"{name} {model} {request}", Usage())

    return Task(name, Request, Any, function, {}, **options)


def resolved(model_task: str) -> Any:
    from types import SimpleNamespace

    return SimpleNamespace(name="m@1", manifest=SimpleNamespace(task=model_task))


TEXTS, ZERO_SHOT, DETECTION, TRACKING = map(
    task, ("text-classification", "zero-shot-classification", "object-detection", "object-tracking")
)
ALL = (ZERO_SHOT, TEXTS, TRACKING, DETECTION)


@pytest.mark.parametrize(
    ("model_task", "requested", "expected"),
    [
        ("text-classification", "", TEXTS),
        ("zero-shot-classification", "", ZERO_SHOT),
        ("text-classification", "zero-shot-classification", ZERO_SHOT),
        ("object-detection", "", DETECTION),
        ("object-detection", "object-tracking", TRACKING),
    ],
)
def test_a_models_own_task_comes_first(model_task: str, requested: str, expected: Task) -> None:
    assert choose_task(ALL, resolved(model_task), requested) is expected


def test_another_task_that_serves_the_model_will_do() -> None:
    assert choose_task((TRACKING,), resolved("object-detection")) is TRACKING


def test_a_task_that_is_not_served_is_named() -> None:
    with pytest.raises(NotFound, match="Model m@1 is not served for translation by this function; GET /models lists"):
        choose_task(ALL, resolved("text-classification"), "translation")
    with pytest.raises(NotFound, match="Model m@1 is not served by this function"):
        choose_task((DETECTION,), resolved("text-classification"))
    with pytest.raises(NotFound):
        choose_task((), resolved("text-classification"))


def test_usage_is_added_up_and_the_first_seed_stays() -> None:
    usage = Usage(items=1, input_tokens=2, cached_tokens=1, output_tokens=3, seconds=0.5)
    usage.add(Usage(items=2, input_tokens=3, cached_tokens=2, output_tokens=4, seconds=1.0, seed=7))
    usage.add(Usage(items=0, seed=9))
    assert usage == Usage(items=3, input_tokens=5, cached_tokens=3, output_tokens=7, seconds=1.5, seed=7)
    assert Usage() == Usage(items=1)


def test_a_task_without_a_stream_says_so() -> None:
    with pytest.raises(BadRequest, match="text-classification cannot be streamed"):
        TEXTS.generate("model", "request")  # type: ignore[arg-type]
    streaming = task("text-generation", stream=lambda model, request: f"{model} {request}")
    assert streaming.generate("model", "request") == "model request"  # type: ignore[arg-type, comparison-overlap]


def test_a_task_may_be_imported_when_it_is_called_first() -> None:
    reference = TaskReference("zero-shot-classification", "hearth_functions.text_classification.app")
    assert reference.load().id == "zero-shot-classification"
    assert choose_task((reference,), resolved("text-classification")) is reference.load()
    assert TEXTS.load() is TEXTS
