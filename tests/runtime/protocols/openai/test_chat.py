"""POST /v1/chat/completions, whole and streamed, below the model's path too."""

from __future__ import annotations

import json
from typing import Any

import pytest
from starlette.testclient import TestClient

MODEL = "gpt-shakespeare"
MESSAGES = [{"role": "user", "content": "Who is there?"}]


def post(client: TestClient, path: str = "/v1/chat/completions", **fields: Any) -> Any:
    return client.post(path, json={"model": MODEL, "messages": MESSAGES, "max_tokens": 6, **fields})


def chat(client: TestClient, path: str = "/v1/chat/completions", **fields: Any) -> Any:
    response = post(client, path, **fields)
    assert response.status_code == 200, response.text
    return response.json()


def test_an_answer_has_its_usage(client: TestClient) -> None:
    completion = chat(client, temperature=0)
    assert completion["id"].startswith("chatcmpl-")
    assert (completion["object"], completion["model"]) == ("chat.completion", MODEL)
    (choice,) = completion["choices"]
    assert choice["message"]["role"] == "assistant"
    assert choice["message"]["content"]
    assert (choice["index"], choice["logprobs"], choice["finish_reason"]) == (0, None, "length")
    usage = completion["usage"]
    assert usage["completion_tokens"] == 6
    assert usage["total_tokens"] == usage["prompt_tokens"] + 6


def test_the_newer_name_of_the_limit_wins(client: TestClient) -> None:
    assert chat(client, max_tokens=2, max_completion_tokens=4)["usage"]["completion_tokens"] == 4


def test_parts_are_joined_and_developers_are_the_system(client: TestClient) -> None:
    expected = chat(client, temperature=0, messages=[{"role": "system", "content": "Be brief."}, *MESSAGES])
    parts = [{"type": "text", "text": "Who is "}, {"type": "text", "text": "there?"}]
    messages = [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": parts}]
    assert chat(client, temperature=0, messages=messages)["choices"] == expected["choices"]
    assert chat(client, temperature=0)["usage"]["prompt_tokens"] < expected["usage"]["prompt_tokens"]


def test_the_path_may_name_the_model(client: TestClient) -> None:
    """Hugging Face's client sends any text as the model's name there."""
    named = chat(client, f"/models/{MODEL}/v1/chat/completions", model="tgi", temperature=0)
    assert named["choices"] == chat(client, temperature=0)["choices"]
    assert named["model"] == "tgi"


def test_choices_are_numbered(client: TestClient) -> None:
    completion = chat(client, n=2, seed=3)
    assert [choice["index"] for choice in completion["choices"]] == [0, 1]
    assert len({choice["message"]["content"] for choice in completion["choices"]}) == 2


def test_logprobs_have_bytes_and_the_likeliest_tokens(client: TestClient) -> None:
    (choice,) = chat(client, temperature=0, logprobs=True, top_logprobs=2, max_tokens=3)["choices"]
    content = choice["logprobs"]["content"]
    assert "".join(token["token"] for token in content) == choice["message"]["content"]
    for token in content:
        assert token["bytes"] == list(token["token"].encode())
        assert len(token["top_logprobs"]) == 2
        assert token["top_logprobs"][0]["token"] == token["token"]
        assert token["top_logprobs"][0]["logprob"] == pytest.approx(token["logprob"])
        assert token["top_logprobs"][1]["bytes"] == list(token["top_logprobs"][1]["token"].encode())
    (plain,) = chat(client, temperature=0, logprobs=True, max_tokens=3)["choices"]
    assert [token["top_logprobs"] for token in plain["logprobs"]["content"]] == [[], [], []]


def test_a_stream_has_role_text_and_end_of_each_choice(client: TestClient) -> None:
    fields = {"seed": 5, "n": 2, "logprobs": True}
    whole = chat(client, **fields)
    response = post(client, **fields, stream=True, stream_options={"include_usage": True})
    data = [line[6:] for line in response.text.splitlines() if line.startswith("data: ")]
    assert data.pop() == "[DONE]"
    chunks = [json.loads(line) for line in data]
    last = chunks.pop()
    assert (last["choices"], last["usage"]) == ([], whole["usage"])
    assert {(chunk["object"], chunk["model"], chunk["usage"]) for chunk in chunks} == {
        ("chat.completion.chunk", MODEL, None)
    }
    for choice in whole["choices"]:
        parts = [chunk["choices"][0] for chunk in chunks if chunk["choices"][0]["index"] == choice["index"]]
        assert parts[0]["delta"] == {"role": "assistant", "content": ""}
        assert "".join(part["delta"].get("content", "") for part in parts) == choice["message"]["content"]
        assert (parts[-1]["delta"], parts[-1]["finish_reason"], parts[-1]["logprobs"]) == ({}, "length", None)
        assert {part["finish_reason"] for part in parts[:-1]} == {None}
        tokens = [token for part in parts if part["logprobs"] for token in part["logprobs"]["content"]]
        assert tokens == choice["logprobs"]["content"]
    plain = post(client, seed=5, stream=True).text
    assert '"usage":{' not in plain


def test_a_stream_has_the_logprobs_of_tokens_whose_text_comes_later(client: TestClient) -> None:
    fields: dict[str, Any] = {"temperature": 0, "logprobs": True}
    text = chat(client, **fields)["choices"][0]["message"]["content"]
    fields["stop"] = [f"{text[1:-2]}\0"]  # holds back text that may be its beginning
    (whole,) = chat(client, **fields)["choices"]
    assert "" in [token["token"] for token in whole["logprobs"]["content"]]
    lines = post(client, **fields, stream=True).text.splitlines()
    parts = [json.loads(line[6:])["choices"][0] for line in lines if line.startswith("data: {")]
    tokens = [token for part in parts if part["logprobs"] for token in part["logprobs"]["content"]]
    assert tokens == whole["logprobs"]["content"]
    assert "".join(part["delta"].get("content", "") for part in parts) == text


@pytest.mark.parametrize(
    ("fields", "status", "param"),
    [
        ({"top_logprobs": 2}, 400, "top_logprobs"),
        ({"tools": [{"type": "function"}]}, 400, "tools[0]"),
        ({"messages": []}, 400, "messages"),
        ({"model": "none"}, 404, "model"),
        ({"model": "embeddings-en"}, 404, "model"),
        ({"stream_options": {"include_usage": True}}, 400, "stream_options"),
    ],
)
def test_an_error_names_the_field(client: TestClient, fields: dict[str, Any], status: int, param: str) -> None:
    response = post(client, **fields)
    assert (response.status_code, response.json()["error"]["param"]) == (status, param), response.text


def test_an_error_of_the_prompt_has_its_status_in_a_stream_too(client: TestClient) -> None:
    long = [{"role": "user", "content": "word " * 2000}]
    for stream in (False, True):
        response = post(client, messages=long, stream=stream)
        assert response.status_code in (400, 413), response.text
        assert response.headers["content-type"] == "application/json"
