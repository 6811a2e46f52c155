"""What is generated for prompts and choices: parameters, seeds, and usage."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from hearth.errors import BadRequest, PayloadTooLarge
from hearth.protocols.openai.sampling import Sampler, check_choices, event_stream, task_parameters, wants_usage
from hearth.protocols.openai.schema import MAX_CHOICES, CompletionRequest
from hearth.tasks.task import Usage


class TaskRequest(msgspec.Struct):
    inputs: str
    parameters: dict[str, Any]


class Generation:
    def __init__(self, request: TaskRequest, requests: list[TaskRequest]) -> None:
        requests.append(request)
        self.usage = Usage(items=1, input_tokens=len(request.inputs), seed=request.parameters.get("seed", 99))

    def __iter__(self) -> Iterator[str]:
        yield from ("a", "b", "c")


def sampler(parameters: dict[str, Any], *prompts: str, n: int = 1) -> tuple[Sampler, list[TaskRequest]]:
    requests: list[TaskRequest] = []

    def generate(model: Any, request: TaskRequest) -> Generation:
        if request.inputs == "bad":
            raise BadRequest("`parameters.max_new_tokens` is bad", param="parameters.max_new_tokens")
        return Generation(request, requests)

    task: Any = SimpleNamespace(request=TaskRequest, generate=generate)
    model: Any = SimpleNamespace(head=None, manifest=None)
    return Sampler(task, model, "id", [{"inputs": prompt} for prompt in prompts], parameters, n), requests


def test_each_choice_of_each_prompt_is_generated_in_order() -> None:
    texts, requests = sampler({}, "p", "qq", n=3)
    assert [(index, list(pieces)) for index, pieces in texts.choices()] == [
        (number, ["a", "b", "c"]) for number in range(6)
    ]
    assert [request.inputs for request in requests] == ["p", "p", "p", "qq", "qq", "qq"]


def test_each_choice_has_a_seed_of_its_own() -> None:
    texts, requests = sampler({"seed": 2**63 - 1, "x": 1}, "p", n=3)
    for _, pieces in texts.choices():
        list(pieces)
    assert [request.parameters for request in requests] == [
        {"seed": 2**63 - 1, "x": 1},
        {"seed": 0, "x": 1},
        {"seed": 1, "x": 1},
    ]
    assert texts.usage.seed == 2**63 - 1
    unseeded, requests = sampler({}, "p", n=2)
    for _, pieces in unseeded.choices():
        list(pieces)
    assert [request.parameters for request in requests] == [{}, {}]
    assert unseeded.usage.seed == 99


def test_a_prompt_is_counted_once_and_every_token_of_its_texts() -> None:
    texts, _ = sampler({}, "p", "qq", n=2)
    for _, pieces in texts.choices():
        list(pieces)
    assert texts.usage.items == 4
    usage = texts.completion_usage()
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (3, 12, 15)


def test_a_text_that_is_not_read_to_its_end_is_counted_so_far() -> None:
    texts, _ = sampler({}, "p")
    assert list(itertools.islice(texts.pieces(0, 0), 2)) == ["a", "b"]
    assert texts.usage.output_tokens == 2


def test_errors_have_openais_field_names() -> None:
    texts, _ = sampler({}, "bad")
    with pytest.raises(BadRequest) as raised:
        next(texts.pieces(0, 0))
    assert raised.value.message == "`max_tokens` is bad"
    assert raised.value.param == "max_tokens"


def test_a_sampler_knows_when_it_was_made() -> None:
    before = int(time.time())
    assert before <= sampler({}, "p")[0].created <= time.time()


def document(**fields: Any) -> CompletionRequest:
    return msgspec.convert({"model": "m", "prompt": "a", **fields}, CompletionRequest)


def test_parameters_have_the_tasks_names() -> None:
    assert task_parameters(document(), 16, None) == {
        "max_new_tokens": 16,
        "do_sample": True,
        "temperature": 1.0,
        "top_p": 1.0,
        "stop": [],
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "logit_bias": {},
        "top_n_tokens": 0,
        "top_k": None,
        "min_p": document().min_p,
        "repetition_penalty": document().repetition_penalty,
        "ignore_eos": False,
    }
    other = document(temperature=0, top_p=0.5, stop="x", presence_penalty=1, frequency_penalty=-1, logit_bias={"5": 2})
    assert task_parameters(other, None, 3) == {
        "max_new_tokens": None,
        "do_sample": False,
        "temperature": 0.0,
        "top_p": 0.5,
        "stop": ["x"],
        "presence_penalty": 1.0,
        "frequency_penalty": -1.0,
        "logit_bias": {"5": 2.0},
        "top_n_tokens": 3,
        "top_k": None,
        "min_p": document().min_p,
        "repetition_penalty": document().repetition_penalty,
        "ignore_eos": False,
    }
    assert task_parameters(document(stop=["x", "y"]), 1, 0)["stop"] == ["x", "y"]
    assert task_parameters(document(seed=-1), 1, 0)["seed"] == 2**63 - 1
    assert task_parameters(document(seed=0), 1, 0)["seed"] == 0


def test_too_many_texts_are_refused() -> None:
    check_choices(2, MAX_CHOICES // 2)
    with pytest.raises(PayloadTooLarge, match="3 prompts with 43 choices each are more than 128 texts") as raised:
        check_choices(3, 43)
    assert raised.value.param == "n"


def test_a_stream_ends_with_done() -> None:
    usage = Usage(items=1)
    response = event_stream(iter([{"a": 1}, {"b": 2}]), usage)
    assert response.media_type == "text/event-stream"
    assert response.usage is usage
    assert list(response.body) == [b'data: {"a":1}\n\n', b'data: {"b":2}\n\n', b"data: [DONE]\n\n"]


def test_usage_is_sent_only_in_streams_that_want_it() -> None:
    assert not wants_usage(document())
    assert not wants_usage(document(stream=True))
    assert wants_usage(document(stream=True, stream_options={"include_usage": True}))
    assert not wants_usage(document(stream=True, stream_options={}))
    with pytest.raises(BadRequest, match="`stream_options` needs `stream`") as raised:
        wants_usage(document(stream_options={"include_usage": True}))
    assert raised.value.param == "stream_options"
