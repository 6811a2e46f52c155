"""OpenAI's routes as client libraries use them: second turns, needless fields, texts that are too long."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient
from tokenizers import Tokenizer

from hearth import deadline, settings
from hearth.models.cache import warm_cache
from hearth_build import ZOO
from hearth_build.cli import serve
from tests.support import ROOT

DIGITS = ROOT / "functions/catalog/page/digits.mp3"
CHAT = {"model": "gpt-shakespeare", "max_tokens": 3, "temperature": 0, "seed": 1}
QUESTION = {"role": "user", "content": "hi"}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with pytest.MonkeyPatch.context() as patch, TestClient(serve.app()) as client:
        patch.setenv("HEARTH_STORE", ZOO.as_uri())
        patch.setenv("HEARTH_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        for cached in (settings.get, warm_cache):
            cached.cache_clear()
        yield client
    for cached in (settings.get, warm_cache):
        cached.cache_clear()


def answer(client: TestClient, path: str, **body: Any) -> dict[str, Any]:
    response = client.post(path, json=body)
    assert response.status_code == 200, response.text
    document: dict[str, Any] = response.json()
    return document


def error(client: TestClient, path: str, **body: Any) -> dict[str, Any]:
    response = client.post(path, json=body)
    assert response.status_code == 400, response.text
    document: dict[str, Any] = response.json()["error"]
    return document


def text(client: TestClient, messages: list[dict[str, Any]], **extra: Any) -> str:
    completion = answer(client, "/v1/chat/completions", **CHAT, messages=messages, **extra)
    return str(completion["choices"][0]["message"]["content"])


FORMER_ANSWERS: tuple[dict[str, Any], ...] = (
    {"refusal": None},
    {"refusal": None, "annotations": [], "audio": None, "function_call": None, "tool_calls": None},
    {"tool_calls": [], "reasoning": "thoughts", "reasoning_content": None, "name": "bard", "id": "msg_1"},
    {"annotations": [{"type": "url_citation"}], "provider_specific_fields": {"refusal": None}},
)


@pytest.mark.parametrize("fields", FORMER_ANSWERS, ids=[next(iter(fields)) for fields in FORMER_ANSWERS])
def test_a_former_answer_is_taken_back(client: TestClient, fields: dict[str, Any]) -> None:
    former = {"role": "assistant", "content": "Ay, my lord."}
    assert text(client, [QUESTION, former | fields, QUESTION]) == text(client, [QUESTION, former, QUESTION])


def test_our_own_answer_is_taken_back_as_it_was_sent(client: TestClient) -> None:
    message = answer(client, "/v1/chat/completions", **CHAT, messages=[QUESTION])["choices"][0]["message"]
    assert text(client, [QUESTION, message, QUESTION])


@pytest.mark.parametrize(
    "content",
    [
        [{"type": "text", "text": "Ay, my lord.", "cache_control": {"type": "ephemeral"}, "annotations": []}],
        [{"type": "text", "text": "Ay, "}, {"type": "refusal", "refusal": "my lord."}],
    ],
)
def test_the_parts_of_a_message_are_one_text(client: TestClient, content: Any) -> None:
    former = {"role": "assistant", "content": "Ay, my lord."}
    assert text(client, [QUESTION, {**former, "content": content}]) == text(client, [QUESTION, former])


def test_a_refusal_stands_for_the_content(client: TestClient) -> None:
    refused = {"role": "assistant", "content": None, "refusal": "No."}
    assert text(client, [QUESTION, refused]) == text(client, [QUESTION, {"role": "assistant", "content": "No."}])


@pytest.mark.parametrize(
    "message",
    [
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "type": "function", "function": {}}]},
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "assistant", "audio": {"id": "audio_1"}},
        {"role": "user"},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:"}}]},
    ],
)
def test_what_no_model_can_read_is_refused_by_name(client: TestClient, message: dict[str, Any]) -> None:
    assert "messages[1]" in error(client, "/v1/chat/completions", **CHAT, messages=[QUESTION, message])["param"]


HARMLESS = {
    "store": True,
    "parallel_tool_calls": True,
    "metadata": {"a": 1},
    "user": 5,
    "service_tier": "flex",
    "safety_identifier": "x",
    "prompt_cache_key": "x",
    "prediction": {"type": "content", "content": "a"},
    "verbosity": "low",
    "tool_choice": "auto",
    "tools": [],
    "top_k": -1,
    "some_new_field": {"a": [1]},
    "stream_options": None,
}


@pytest.mark.parametrize("name", HARMLESS)
def test_fields_that_do_not_change_the_answer_are_ignored(client: TestClient, name: str) -> None:
    assert text(client, [QUESTION], **{name: HARMLESS[name]}) == text(client, [QUESTION])


@pytest.mark.parametrize(
    ("field", "value"),
    [("top_a", 0.5), ("guided_json", {}), ("max_token", 5), ("reasoning_effort", "high")],
)
def test_fields_that_change_the_answer_are_refused_by_name(client: TestClient, field: str, value: Any) -> None:
    assert (
        f"`{field}`" in error(client, "/v1/chat/completions", **CHAT, messages=[QUESTION], **{field: value})["message"]
    )


@pytest.mark.parametrize(
    ("field", "value", "hint"),
    [
        ("max_tokens", 5, "max_output_tokens"),
        ("response_format", {"type": "json_object"}, "text.format"),
        ("messages", [QUESTION], "input"),
        ("stop", ["."], "stop"),
        ("seed", 1, "seed"),
        ("top_k", 5, "top_k"),
        ("logit_bias", {"5": 1}, "logit_bias"),
        ("guided_regex", "a", "guided_regex"),
    ],
)
def test_fields_of_chat_completions_are_not_ignored_in_responses(
    client: TestClient, field: str, value: Any, hint: str
) -> None:
    refused = error(client, "/v1/responses", model="gpt-shakespeare", input="hi", **{field: value})
    assert refused["param"] == field
    assert f"`{hint}`" in refused["message"]


@pytest.mark.parametrize("token", ["-1", "a", "400000", "9" * 5000])
def test_a_bias_of_what_is_no_token_is_refused(client: TestClient, token: str) -> None:
    refused = error(client, "/v1/chat/completions", **CHAT, messages=[QUESTION], logit_bias={token: 1})
    assert refused["param"] == "logit_bias"


def test_messages_that_are_too_long_have_openais_error(client: TestClient) -> None:
    context = json.loads((ZOO / "gpt-shakespeare/2/manifest.json").read_text())["head"]["context"]
    failure = error(client, "/v1/chat/completions", **CHAT, messages=[{**QUESTION, "content": "word " * context}])
    assert failure["code"] == "context_length_exceeded"
    assert (failure["type"], failure["param"]) == ("invalid_request_error", "messages")
    assert failure["message"].startswith(
        f"This model's maximum context length is {context} tokens. However, you requested"
    )
    without_maximum = {"model": CHAT["model"], "messages": [{**QUESTION, "content": "word " * context}]}
    failure = error(client, "/v1/chat/completions", **without_maximum)
    assert "your messages resulted in" in failure["message"]
    far_more = error(client, "/v1/chat/completions", **CHAT, messages=[{**QUESTION, "content": "word " * 100_000}])
    assert far_more["code"] == "context_length_exceeded"


def test_a_prompt_that_is_too_long_has_openais_error(client: TestClient) -> None:
    failure = error(client, "/v1/completions", model="gpt-shakespeare", prompt="a" * 5000, max_tokens=7)
    assert failure["code"] == "context_length_exceeded"
    assert "7 for the completion). Please reduce your prompt" in failure["message"]
    failure = error(client, "/v1/completions", model="gpt-shakespeare", prompt="a", max_tokens=10**6)
    assert failure["code"] == "context_length_exceeded"


def test_embeddings_of_long_texts_are_refused_unless_truncation_is_requested(client: TestClient) -> None:
    long = {"model": "embeddings-en", "input": ["short", "word " * 3000]}
    failure = error(client, "/v1/embeddings", **long)
    assert (failure["code"], failure["param"]) == ("context_length_exceeded", "input")
    assert "maximum context length is" in failure["message"]
    vectors = {
        str(truncate): answer(client, "/v1/embeddings", **long, truncate=truncate)["data"][1]["embedding"]
        for truncate in (True, "END", "START")
    }
    assert vectors["True"] == vectors["END"]
    assert error(client, "/v1/embeddings", **long, truncate="NONE")["code"] == "context_length_exceeded"


def test_the_models_own_token_ids_are_embedded(client: TestClient) -> None:
    tokenizer = Tokenizer.from_file(str(ZOO / "embeddings-en/1/tokenizer.json"))
    texts = ["A man plays the guitar.", "Don't! (unbelievable) ☃ 好"]
    tokens = [tokenizer.encode(text).ids for text in texts]
    expected = answer(client, "/v1/embeddings", model="embeddings-en", input=texts)["data"]
    assert answer(client, "/v1/embeddings", model="embeddings-en", input=tokens)["data"] == expected
    alone = answer(client, "/v1/embeddings", model="embeddings-en", input=tokens[0])
    assert alone["data"][0]["embedding"] == pytest.approx(expected[0]["embedding"], abs=1e-6)


@pytest.mark.parametrize(
    "tokens", [[15339, 1917], [9906, 11, 1917, 0], [-1], [10**9], [101, 10**6, 102], [[]], [1.5], ["a", [1]], [True]]
)
def test_other_token_ids_are_refused(client: TestClient, tokens: list[Any]) -> None:
    assert error(client, "/v1/embeddings", model="embeddings-en", input=tokens)["param"] == "input"


@pytest.mark.parametrize("text", ["", ["a", ""], []])
def test_an_empty_text_is_not_embedded(client: TestClient, text: Any) -> None:
    assert error(client, "/v1/embeddings", model="embeddings-en", input=text)["param"] == "input"


def test_input_type_and_other_fields_of_embeddings_are_ignored(client: TestClient) -> None:
    plain = answer(client, "/v1/embeddings", model="embeddings-en", input="hi")
    extra = {"input_type": "query", "user": "x", "extra": 1}
    assert answer(client, "/v1/embeddings", model="embeddings-en", input="hi", **extra)["data"] == plain["data"]


def transcribe(client: TestClient, **fields: Any) -> Any:
    return client.post(
        "/v1/audio/transcriptions",
        data={"model": "deepspeech-digits", **fields},
        files={"file": ("digits.mp3", DIGITS.read_bytes())},
    )


@pytest.mark.parametrize(
    "fields",
    [
        {"language": "en-US"},
        {"language": "EN"},
        {"language": "en_GB"},
        {"temperature": "0.7"},
        {"prompt": "digits"},
        {"chunking_strategy": "auto"},
        {"chunking_strategy": '{"type": "server_vad"}'},
        {"vad_filter": "true"},
        {"stream": "false"},
    ],
    ids=str,
)
def test_parameters_of_transcriptions_are_taken(client: TestClient, fields: dict[str, str]) -> None:
    response = transcribe(client, **fields)
    assert response.status_code == 200, response.text
    assert response.json()["text"]


@pytest.mark.parametrize("name", ["timestamp_granularities", "timestamp_granularities[]"])
def test_granularities_are_taken_with_and_without_brackets(client: TestClient, name: str) -> None:
    response = transcribe(client, response_format="verbose_json", **{name: ["word", "segment"]})
    assert {"words", "segments"} <= set(response.json())


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"language": "de"}, "language"),
        ({"language": "eng-x"}, "language"),
        ({"temperature": "2"}, "temperature"),
        ({"temperature": "warm"}, "temperature"),
        ({"stream": "true"}, "stream"),
        ({"include[]": "logprobs"}, "include"),
        ({"task": "translate"}, "task"),
    ],
)
def test_what_would_change_a_transcription_is_refused(client: TestClient, fields: dict[str, str], param: str) -> None:
    response = transcribe(client, **fields)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == param


def test_many_texts_that_cannot_be_finished_in_time_are_refused_early(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deadline, "remaining", lambda: 0.01)
    for path, prompt in (("completions", {"prompt": "a"}), ("chat/completions", {"messages": [QUESTION]})):
        response = client.post(f"/v1/{path}", json={**CHAT, "max_tokens": 20, "n": 100, **prompt})
        assert response.status_code == 413, response.text
        assert response.json()["error"]["param"] == "n"
        assert "100 texts would take" in response.json()["error"]["message"]


def test_bodies_with_a_mark_and_in_several_gzip_members_are_read(client: TestClient) -> None:
    body = b"\xef\xbb\xbf" + json.dumps({**CHAT, "messages": [QUESTION]}).encode()
    halves = gzip.compress(body[:20]) + gzip.compress(body[20:])
    plain = client.post("/v1/chat/completions", content=body)
    packed = client.post("/v1/chat/completions", content=halves, headers={"content-encoding": "gzip"})
    assert plain.json()["choices"] == packed.json()["choices"]
    cut = client.post("/v1/chat/completions", content=halves[:-9], headers={"content-encoding": "gzip"})
    assert cut.status_code == 400
