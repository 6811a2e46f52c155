"""OpenAI's documents: bounds of every field, and what is not sent where it is not set."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from hearth.protocols.openai import schema
from tests.support.structs import mutable_structs

COMPLETION = {"model": "m", "prompt": "a"}
CHAT = {"model": "m", "messages": [{"role": "user", "content": "a"}]}


@pytest.mark.parametrize(
    ("field", "accepted", "refused"),
    [
        ("temperature", [0, 2], [-0.1, 2.1]),
        ("top_p", [0.01, 1], [0, 1.01]),
        ("n", [1, schema.MAX_CHOICES], [0, schema.MAX_CHOICES + 1]),
        ("stop", ["a", ["a", "b", "c", "d"]], ["", [""], ["a"] * 5]),
        ("seed", [-(2**63), 2**63 - 1, None], [2**63, 1.5]),
        ("presence_penalty", [-2, 2], [-2.1, 2.1]),
        ("frequency_penalty", [-2, 2], [-2.1, 2.1]),
        ("logit_bias", [{"5": -100}, {"5": 100}], [{"5": 101}, {"5": -101}]),
        ("stream_options", [{"include_usage": True}, {"include_obfuscation": False}], [{"include_usage": 1}]),
    ],
)
@pytest.mark.parametrize(
    ("kind", "document"), [(schema.CompletionRequest, COMPLETION), (schema.ChatCompletionRequest, CHAT)]
)
def test_common_fields_have_openais_bounds(
    kind: type[Any], document: dict[str, Any], field: str, accepted: list[Any], refused: list[Any]
) -> None:
    for value in accepted:
        assert getattr(msgspec.convert(document | {field: value}, kind), field, None) is not False
    for value in refused:
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(document | {field: value}, kind)


@pytest.mark.parametrize(
    ("kind", "document", "field", "accepted", "refused"),
    [
        (schema.CompletionRequest, COMPLETION, "max_tokens", [0, 9], [-1]),
        (schema.CompletionRequest, COMPLETION, "best_of", [1, 20], [0, 21]),
        (schema.CompletionRequest, COMPLETION, "logprobs", [0, 5], [-1, 6]),
        (schema.ChatCompletionRequest, CHAT, "max_tokens", [1], [0]),
        (schema.ChatCompletionRequest, CHAT, "max_completion_tokens", [1], [0]),
        (schema.ChatCompletionRequest, CHAT, "top_logprobs", [0, 20], [-1, 21]),
        (schema.ChatCompletionRequest, CHAT, "messages", [CHAT["messages"], [*CHAT["messages"]] * 1000], [[]]),
        (schema.ChatCompletionRequest, CHAT, "messages", [], [[*CHAT["messages"]] * 1001]),
    ],
)
def test_other_fields_have_openais_bounds(
    kind: type[Any], document: dict[str, Any], field: str, accepted: list[Any], refused: list[Any]
) -> None:
    for value in accepted:
        msgspec.convert(document | {field: value}, kind)
    for value in refused:
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(document | {field: value}, kind)


def test_the_defaults_are_openais() -> None:
    completion = msgspec.convert(COMPLETION, schema.CompletionRequest)
    assert (completion.max_tokens, completion.n, completion.temperature, completion.top_p) == (16, 1, 1, 1)
    assert (completion.best_of, completion.logprobs, completion.echo, completion.stream) == (None, None, False, False)
    assert (completion.presence_penalty, completion.frequency_penalty, completion.logit_bias) == (0, 0, {})
    assert (completion.stop, completion.seed, completion.stream_options) == ([], None, None)
    chat = msgspec.convert(CHAT, schema.ChatCompletionRequest)
    assert (chat.max_tokens, chat.max_completion_tokens, chat.logprobs, chat.top_logprobs) == (None, None, False, None)
    assert not msgspec.convert({}, schema.StreamOptions).include_usage


def test_every_reason_to_finish_has_openais_name() -> None:
    assert schema.FINISH_REASONS == {"length": "length", "eos_token": "stop", "stop_sequence": "stop"}


def test_refused_fields_are_not_fields_of_the_requests() -> None:
    for refused, kind in (
        (schema.REFUSED_IN_COMPLETIONS, schema.CompletionRequest),
        (schema.REFUSED_IN_CHAT, schema.ChatCompletionRequest),
    ):
        assert refused
        assert not refused.keys() & set(kind.__struct_fields__)


def test_a_delta_sends_only_what_it_has() -> None:
    choice = schema.ChatChunkChoice(0, schema.ChatDelta(content="a"))
    expected = {"index": 0, "delta": {"content": "a"}, "logprobs": None, "finish_reason": None}
    assert json.loads(msgspec.json.encode(choice)) == expected


def test_documents_are_not_changed() -> None:
    assert mutable_structs(schema) == set()
