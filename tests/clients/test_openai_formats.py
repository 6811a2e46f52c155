"""Output formats, tool calls and sampling options through OpenAI's own client, with a model of random weights: whatever
it would write, the formats hold."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from enum import StrEnum
from typing import Any

import httpx2
import openai
import pytest
from pydantic import BaseModel

from hearth import settings
from hearth.models.cache import warm_cache
from hearth.storage.open import open_store
from hearth_build.cli import serve
from hearth_build.importing import decoders, read
from hearth_build.importing.base import ImportOptions
from hearth_build.release.publish import publish
from tests.clients.conftest import run_server
from tests.export.importing import decoder_checkpoints

MESSAGES: list[Any] = [{"role": "user", "content": "The dog and the fox?"}]
TEMPLATE = """{{ bos_token }}{% if tools %}<tools>{% for tool in tools %}{{ tool | tojson }}{% endfor %}</tools>
Call a function as <tool_call>{"name": ..., "arguments": ...}</tool_call>.{% endif %}
{% for message in messages %}<{{ message.role }}> {{ message.content }}
{% for call in message.tool_calls or [] %}<tool_call>{{ call.function | tojson }}</tool_call>{% endfor %}{% endfor %}
<assistant>"""


class City(StrEnum):
    ROME = "Rome"
    OSLO = "Oslo"


class Weather(BaseModel):
    city: City
    is_cold: bool


WEATHER = {
    "type": "object",
    "properties": {"city": {"enum": ["Rome", "Oslo"]}},
    "required": ["city"],
    "additionalProperties": False,
}
TOOLS: list[Any] = [
    {"type": "function", "function": {"name": "get_weather", "description": "The weather.", "parameters": WEATHER}},
    {"type": "function", "function": {"name": "get_time", "parameters": {"type": "object", "maxProperties": 0}}},
]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    work = tmp_path_factory.mktemp("formats")
    with pytest.MonkeyPatch.context() as patch:
        for name, template in (
            ("calls", TEMPLATE),
            ("talks", "{% for message in messages %}{{ message.content }}{% endfor %}"),
        ):
            patch.setitem(
                decoder_checkpoints.CONFIGS,
                "llama",
                ("LlamaConfig", decoder_checkpoints.SHAPE | {"max_position_embeddings": 2048}),
            )
            decoder_checkpoints.save(work / name, "llama")
            (work / name / decoders.CHAT_TEMPLATE).write_text(template, encoding="utf-8")
            imported = read(str(work / name), ImportOptions(name=name))
            assert imported.build is not None
            imported.build(work / f"{name}-work", "", "int8")
            publish(open_store((work / "store").as_uri()), work / f"{name}-work" / "artifact", "prod")
        patch.setenv("HEARTH_STORE", (work / "store").as_uri())
        patch.setenv("HEARTH_CACHE_DIR", str(work / "cache"))
        settings.get.cache_clear()
        warm_cache.cache_clear()
        with run_server(serve.app()) as server:
            yield server
    settings.get.cache_clear()
    warm_cache.cache_clear()


@pytest.fixture(scope="module")
def client(address: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as client:
        yield client


def chat(client: openai.OpenAI, **options: Any) -> Any:
    return client.chat.completions.create(**{"model": "calls", "messages": MESSAGES, "max_tokens": 60} | options)


@pytest.mark.parametrize("temperature", [0, 1, 2])
def test_a_schema_is_kept_at_any_temperature(client: openai.OpenAI, temperature: float) -> None:
    for seed in range(4):
        completion = client.chat.completions.parse(
            model="talks", messages=MESSAGES, response_format=Weather, temperature=temperature, seed=seed, max_tokens=60
        )
        assert isinstance(completion.choices[0].message.parsed, Weather)
        assert completion.choices[0].finish_reason == "stop"


def test_a_json_object_is_an_object(client: openai.OpenAI) -> None:
    for seed in range(3):
        completion = chat(client, response_format={"type": "json_object"}, seed=seed, max_tokens=120, temperature=1)
        text = completion.choices[0].message.content
        assert text.startswith("{")
        if completion.choices[0].finish_reason == "stop":
            assert isinstance(json.loads(text), dict)


def test_a_streamed_format_is_the_whole_one(client: openai.OpenAI) -> None:
    schema = {"type": "json_schema", "json_schema": {"name": "weather", "schema": WEATHER, "strict": True}}
    options: dict[str, Any] = {"response_format": schema, "temperature": 1, "seed": 3}
    whole = chat(client, **options).choices[0].message.content
    chunks = list(chat(client, **options, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == whole
    assert json.loads(whole)["city"] in ("Rome", "Oslo")


def test_a_regular_expression_of_the_native_route(address: str) -> None:
    body = {
        "inputs": "The dog",
        "parameters": {"grammar": {"type": "regex", "value": "[a-z]{3} [0-9]{4}!"}, "max_new_tokens": 40, "seed": 1},
    }
    for temperature in (0.0, 2.0):
        body["parameters"]["temperature"] = temperature or 1.0  # type: ignore[index]
        text = httpx2.post(f"{address}/models/talks", json=body, timeout=60).json()[0]["generated_text"]
        assert re.fullmatch(r"[a-z]{3} [0-9]{4}!", text)


@pytest.mark.parametrize(
    ("response_format", "message"),
    [
        ({"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "nonsense"}}}, "nonsense"),
        ({"type": "json_schema", "json_schema": {"name": "a", "schema": {"$ref": "http://example.com/a"}}}, "invalid"),
        ({"type": "json_schema"}, "json_schema"),
        ({"type": "json_schema", "json_schema": {"name": "a b", "schema": {}}}, "name"),
        ({"type": "xml"}, "xml"),
    ],
)
def test_an_invalid_format_is_a_bad_request(client: openai.OpenAI, response_format: Any, message: str) -> None:
    with pytest.raises(openai.BadRequestError, match=message) as failure:
        chat(client, response_format=response_format)
    assert (failure.value.param or "").startswith("response_format")


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "get_weather"}}])
def test_a_forced_tool_call_has_arguments_of_its_schema(client: openai.OpenAI, choice: Any) -> None:
    completion = chat(client, tools=TOOLS, tool_choice=choice, temperature=1, seed=2)
    message = completion.choices[0].message
    assert completion.choices[0].finish_reason == "tool_calls"
    assert message.content is None
    (call,) = message.tool_calls
    assert call.function.name in ("get_weather", "get_time")
    if call.function.name == "get_weather":
        assert json.loads(call.function.arguments)["city"] in ("Rome", "Oslo")
    if choice != "required":
        assert call.function.name == "get_weather"


def test_a_streamed_tool_call_can_be_assembled(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(
        model="calls", messages=MESSAGES, tools=TOOLS, tool_choice="required", temperature=1, seed=2, max_tokens=60
    ) as stream:
        completion = stream.get_final_completion()
    whole = chat(client, tools=TOOLS, tool_choice="required", temperature=1, seed=2)
    (streamed,), (call,) = completion.choices[0].message.tool_calls or (), whole.choices[0].message.tool_calls
    assert (streamed.function.name, streamed.function.arguments) == (call.function.name, call.function.arguments)
    assert completion.choices[0].finish_reason == "tool_calls"


def test_a_tools_answer_is_sent_back(client: openai.OpenAI) -> None:
    call = chat(client, tools=TOOLS, tool_choice="required", seed=2).choices[0].message
    answer = {"role": "tool", "tool_call_id": call.tool_calls[0].id, "content": "Cold."}
    completion = chat(client, tools=TOOLS, messages=[*MESSAGES, call.model_dump(exclude_none=True), answer])
    without = chat(client, tools=TOOLS)
    assert completion.usage.prompt_tokens > without.usage.prompt_tokens + 10


def test_free_text_beside_tools_is_content(client: openai.OpenAI) -> None:
    plain = chat(client, tools=TOOLS, temperature=0)
    assert plain.choices[0].message.tool_calls is None
    chunks = list(chat(client, tools=TOOLS, temperature=0, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == plain.choices[0].message.content
    none = chat(client, tools=TOOLS, tool_choice="none", temperature=0)
    assert none.usage.prompt_tokens < plain.usage.prompt_tokens


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "talks", "tools": TOOLS}, "chat template has no tools"),
        ({"tool_choice": "required"}, "needs `tools`"),
        ({"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "other"}}}, "tool_choice"),
        ({"tools": [{"type": "web_search"}]}, "web_search"),
        ({"tools": [{"type": "function", "function": []}]}, "function"),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "name"),
        ({"messages": [{"role": "tool", "content": None}]}, "content"),
        (
            {
                "messages": [
                    {
                        "role": "assistant",
                        "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{"}}],
                    }
                ]
            },
            "JSON object",
        ),
        ({"tools": TOOLS, "tool_choice": "required", "response_format": {"type": "json_object"}}, "format of its own"),
    ],
)
def test_tools_that_cannot_be_used_are_a_bad_request(
    client: openai.OpenAI, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(openai.BadRequestError, match=message):
        chat(client, **options)


def test_sampling_options_of_other_servers(client: openai.OpenAI) -> None:
    greedy = chat(client, temperature=0).choices[0].message.content
    for extra in ({"top_k": 1}, {"min_p": 1.0}):
        assert chat(client, temperature=2, seed=1, extra_body=extra).choices[0].message.content == greedy
    repeated = chat(client, temperature=0, extra_body={"repetition_penalty": 2.0}).choices[0].message.content
    assert repeated != greedy
    for seed in range(3):
        completion = chat(client, temperature=2, seed=seed, max_tokens=200, extra_body={"ignore_eos": True})
        assert completion.usage.completion_tokens == 200


def respond(client: openai.OpenAI, **options: Any) -> Any:
    return client.responses.create(**{"model": "calls", "input": "The dog?", "max_output_tokens": 80} | options)


def test_a_response_is_the_chat_completion(client: openai.OpenAI) -> None:
    response = respond(client, instructions="Be kind.", temperature=0)
    messages = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "The dog?"}]
    completion = chat(client, messages=messages, temperature=0, max_tokens=80)
    assert response.output_text == completion.choices[0].message.content
    assert response.usage.input_tokens == completion.usage.prompt_tokens
    assert response.status == {"length": "incomplete", "stop": "completed"}[completion.choices[0].finish_reason]
    assert response.usage.total_tokens == response.usage.input_tokens + response.usage.output_tokens
    items: Any = [
        {"role": "user", "content": [{"type": "input_text", "text": "The dog?"}]},
        *response.output,
        {"role": "user", "content": "And the fox?"},
    ]
    following = respond(client, input=items, temperature=0)
    assert following.usage.input_tokens > response.usage.input_tokens


def test_a_streamed_response_has_openais_events(client: openai.OpenAI) -> None:
    events = list(respond(client, temperature=0, stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    kinds = [event.type.removeprefix("response.") for event in events]
    assert kinds[:4] == ["created", "in_progress", "output_item.added", "content_part.added"]
    assert kinds[-4:-1] == ["output_text.done", "content_part.done", "output_item.done"]
    whole = respond(client, temperature=0)
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == whole.output_text
    assert events[-1].type == f"response.{whole.status}"
    assert events[-1].response.output_text == whole.output_text
    with client.responses.stream(model="calls", input="The dog?", max_output_tokens=80, temperature=0) as stream:
        for _ in stream:
            pass


def test_a_response_in_a_format(client: openai.OpenAI) -> None:
    response = client.responses.parse(model="talks", input="The dog?", text_format=Weather, max_output_tokens=60)
    assert isinstance(response.output_parsed, Weather)
    assert response.status == "completed"


def test_a_response_calls_tools_and_gets_their_answers(client: openai.OpenAI) -> None:
    tools: Any = [{"type": "function", **tool["function"]} for tool in TOOLS]
    response = respond(client, tools=tools, tool_choice="required")
    (call,) = response.output
    assert call.type == "function_call"
    assert call.name in ("get_weather", "get_time")
    answer = {"type": "function_call_output", "call_id": call.call_id, "output": "Cold."}
    items = [{"role": "user", "content": "The dog?"}, call.model_dump(), answer]
    assert respond(client, tools=tools, input=items).usage.input_tokens > response.usage.input_tokens
    events = list(respond(client, tools=tools, tool_choice={"type": "function", "name": "get_weather"}, stream=True))
    done = next(event for event in events if event.type == "response.function_call_arguments.done")
    assert json.loads(done.arguments)["city"] in ("Rome", "Oslo")


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input[0]"),
        ({"input": [{"role": "user"}]}, "input[0]"),
        ({"input": [5]}, "input[0]"),
        ({"input": [{"type": "function_call", "call_id": "a", "name": "f", "arguments": "["}]}, "input[0].arguments"),
        ({"input": []}, "input"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"background": True}, "background"),
        ({"text": {"format": {"type": "json_schema", "name": "a", "schema": {"type": "?"}}}}, "response_format"),
    ],
)
def test_an_invalid_response_request_names_its_field(client: openai.OpenAI, options: Any, param: str) -> None:
    with pytest.raises(openai.BadRequestError) as failure:
        respond(client, **options)
    assert (failure.value.param or "").startswith(param)


def test_a_repeated_prompt_is_cached(client: openai.OpenAI) -> None:
    messages = [{"role": "user", "content": "The quick brown fox jumps over the lazy dog. " * 5}]
    first, second = (chat(client, messages=messages, temperature=0) for _ in range(2))
    assert second.usage.prompt_tokens_details.cached_tokens == second.usage.prompt_tokens - 1
    assert second.choices[0].message.content == first.choices[0].message.content
