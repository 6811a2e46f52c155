"""Tasks: which one serves a model, and that their work waits for memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest

from hearth.errors import BadRequest, NotFound
from hearth.tasks import memory_budget
from hearth.tasks.task import Prediction, Task, Usage, choose_task


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
    usage = Usage(items=1, input_tokens=2, output_tokens=3, seconds=0.5)
    usage.add(Usage(items=2, input_tokens=3, output_tokens=4, seconds=1.0, seed=7))
    usage.add(Usage(items=0, seed=9))
    assert usage == Usage(items=3, input_tokens=5, output_tokens=7, seconds=1.5, seed=7)
    assert Usage() == Usage(items=1)


class Budget:
    def __init__(self) -> None:
        self.reserved: list[int] = []

    @contextmanager
    def reserve(self, size: int) -> Iterator[None]:
        self.reserved.append(size)
        yield


def test_work_reserves_its_memory_on_the_local_server_only(monkeypatch: pytest.MonkeyPatch) -> None:
    budget, model, request = Budget(), "model", "request"
    monkeypatch.setattr(memory_budget, "estimate", lambda row, *_: len(row.id))
    for current, reserved in ((None, []), (budget, [len("text-classification")])):
        monkeypatch.setattr(memory_budget, "get", lambda current=current: current)
        assert memory_budget.admitted(TEXTS).predict(model, request).output == "text-classification model request"  # type: ignore[arg-type]
        assert budget.reserved == reserved


class Stream:
    def __init__(self) -> None:
        self.reservation: tuple[Any, int] | None = None

    def reserve(self, budget: Any, size: int) -> None:
        self.reservation = budget, size


def test_a_stream_gets_its_reservation(monkeypatch: pytest.MonkeyPatch) -> None:
    budget = Budget()
    monkeypatch.setattr(memory_budget, "estimate", lambda *_: 5)
    streaming = task("text-generation", stream=lambda model, request: Stream())
    for current, reservation in ((None, None), (budget, (budget, 5))):
        monkeypatch.setattr(memory_budget, "get", lambda current=current: current)
        assert memory_budget.admitted(streaming).generate("model", "request").reservation == reservation  # type: ignore[arg-type, attr-defined]
    with pytest.raises(BadRequest, match="text-classification cannot be streamed"):
        TEXTS.generate("model", "request")  # type: ignore[arg-type]
