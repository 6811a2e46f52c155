"""POST /v1/completions: prompts, choices, echo, log-probabilities and streams."""

from __future__ import annotations

import json
from typing import Any

import pytest
from starlette.testclient import TestClient
from tokenizers import Tokenizer

from hearth.errors import BadRequest
from hearth.models.cache import warm_cache
from hearth.protocols.openai import completions
from hearth.protocols.openai.completions import list_prompts
from hearth.tasks.generation import Piece

MODEL = "gpt-shakespeare"
PROMPT = "ROMEO:\n"


def post(client: TestClient, **fields: Any) -> Any:
    return client.post("/v1/completions", json={"model": MODEL, "prompt": PROMPT, "max_tokens": 6, **fields})


def complete(client: TestClient, **fields: Any) -> Any:
    response = post(client, **fields)
    assert response.status_code == 200, response.text
    return response.json()


def tokenize(text: str) -> list[int]:
    with warm_cache().get(MODEL) as model:
        tokenizer: Tokenizer = model.tokenizer
        return list(tokenizer.encode(text).ids)


@pytest.mark.parametrize(
    ("prompt", "prompts"),
    [("a", ["a"]), ("", [""]), ([1, 2], [[1, 2]]), (["a", "b"], ["a", "b"]), ([[1], "a", [0, 2]], [[1], "a", [0, 2]])],
)
def test_prompts_are_texts_or_tokens(prompt: Any, prompts: list[Any]) -> None:
    assert list_prompts(prompt) == prompts


@pytest.mark.parametrize("prompt", [[], [1.5], [True], [-1], ["a", 1], [[]], [["a"]], [None], [[1, -1]]])
def test_other_prompts_are_refused(prompt: Any) -> None:
    with pytest.raises(BadRequest, match="`prompt` must be a text, a list of token ids, or a list of either") as raised:
        list_prompts(prompt)
    assert raised.value.param == "prompt"


def test_a_completion_has_its_usage(client: TestClient) -> None:
    completion = complete(client, temperature=0)
    assert completion["id"].startswith("cmpl-")
    assert (completion["object"], completion["model"]) == ("text_completion", MODEL)
    (choice,) = completion["choices"]
    assert choice["text"]
    assert (choice["index"], choice["logprobs"], choice["finish_reason"]) == (0, None, "length")
    tokens = len(tokenize(PROMPT))
    usage = {"prompt_tokens": tokens, "completion_tokens": 6, "total_tokens": tokens + 6}
    assert usage.items() <= completion["usage"].items()
    assert complete(client, temperature=0, prompt=tokenize(PROMPT))["choices"] == completion["choices"]


def test_choices_are_numbered_prompt_after_prompt(client: TestClient) -> None:
    completion = complete(client, prompt=[PROMPT, "JULIET:\n"], n=3, seed=1)
    assert [choice["index"] for choice in completion["choices"]] == [0, 1, 2, 3, 4, 5]
    assert len({choice["text"] for choice in completion["choices"]}) == 6
    assert completion["usage"]["completion_tokens"] == 36
    assert complete(client, n=3, seed=1)["choices"] == completion["choices"][:3]


def test_the_likeliest_of_several_texts_is_returned(client: TestClient) -> None:
    candidates = complete(client, n=3, seed=1, logprobs=0)["choices"]
    ranked = sorted(candidates, key=lambda choice: -sum(choice["logprobs"]["token_logprobs"]))
    best = complete(client, n=2, best_of=3, seed=1, logprobs=0)
    assert [choice["text"] for choice in best["choices"]] == [choice["text"] for choice in ranked[:2]]
    assert [choice["index"] for choice in best["choices"]] == [0, 1]
    assert best["usage"]["completion_tokens"] == 18
    in_order = complete(client, n=3, best_of=3, seed=1)["choices"]
    assert [choice["text"] for choice in in_order] == [choice["text"] for choice in candidates]


def test_a_stop_string_ends_a_text(client: TestClient) -> None:
    text = complete(client, temperature=0, max_tokens=20)["choices"][0]["text"]
    stopped = complete(client, temperature=0, max_tokens=20, stop=text[4:6])["choices"][0]
    assert (stopped["text"], stopped["finish_reason"]) == (text[: text.index(text[4:6])], "stop")


def test_of_tokens_with_the_same_text_the_likeliest_counts() -> None:
    top = ((7, "\ufffd", -0.5), (3, "a", -1.5), (8, "\ufffd", -4.0))
    (likely,) = completions._logprobs([Piece(7, -0.5, "", top=top)], 3).top_logprobs or ()
    assert list((likely or {}).items()) == [("\ufffd", -0.5), ("a", -1.5)]


def test_logprobs_have_the_likeliest_tokens_and_offsets(client: TestClient) -> None:
    choice = complete(client, temperature=0, logprobs=2, max_tokens=4)["choices"][0]
    logprobs = choice["logprobs"]
    assert "".join(logprobs["tokens"]) == choice["text"]
    assert [len(top) for top in logprobs["top_logprobs"]] == [2] * 4
    for token, value, top in zip(logprobs["tokens"], logprobs["token_logprobs"], logprobs["top_logprobs"], strict=True):
        assert top[token] == pytest.approx(value)
        assert value == max(top.values())
    lengths = [len(token) for token in logprobs["tokens"]]
    assert logprobs["text_offset"] == [sum(lengths[:number]) for number in range(4)]
    assert complete(client, logprobs=0)["choices"][0]["logprobs"]["top_logprobs"] is None


def test_echo_returns_the_prompt_too(client: TestClient) -> None:
    plain = complete(client, temperature=0)["choices"][0]["text"]
    assert complete(client, temperature=0, echo=True)["choices"][0]["text"] == PROMPT + plain
    assert complete(client, temperature=0, echo=True, prompt=tokenize(PROMPT))["choices"][0]["text"] == PROMPT + plain
    scored = complete(client, temperature=0, echo=True, logprobs=1)["choices"][0]
    logprobs, count = scored["logprobs"], len(tokenize(PROMPT))
    assert "".join(logprobs["tokens"]) == scored["text"] == PROMPT + plain
    assert logprobs["token_logprobs"][0] is None
    assert all(value <= 0 for value in logprobs["token_logprobs"][1:])
    assert [top is None for top in logprobs["top_logprobs"]] == [True] * count + [False] * 6
    assert logprobs["text_offset"][count] == len(PROMPT)


def test_a_prompt_is_scored_without_a_new_token(client: TestClient) -> None:
    completion = complete(client, max_tokens=0, echo=True, logprobs=0)
    (choice,) = completion["choices"]
    assert (choice["text"], choice["finish_reason"]) == (PROMPT, "length")
    tokens = len(tokenize(PROMPT))
    assert len(choice["logprobs"]["tokens"]) == tokens
    usage = {"prompt_tokens": tokens, "completion_tokens": 0, "total_tokens": tokens}
    assert usage.items() <= completion["usage"].items()


def chunks_of(response: Any) -> list[Any]:
    assert response.headers["content-type"].startswith("text/event-stream")
    data = [line[6:] for line in response.text.splitlines() if line.startswith("data: ")]
    assert data.pop() == "[DONE]"
    return [json.loads(line) for line in data]


def test_a_stream_has_the_whole_text_and_its_usage(client: TestClient) -> None:
    fields = {"seed": 5, "temperature": 0.8, "n": 2, "logprobs": 1}
    whole = complete(client, **fields)
    chunks = chunks_of(post(client, **fields, stream=True, stream_options={"include_usage": True}))
    last = chunks.pop()
    assert (last["choices"], last["usage"]) == ([], whole["usage"])
    assert {chunk["usage"] for chunk in chunks} == {None}
    assert len({chunk["id"] for chunk in chunks}) == 1
    for choice in whole["choices"]:
        parts = [chunk["choices"][0] for chunk in chunks if chunk["choices"][0]["index"] == choice["index"]]
        assert "".join(part["text"] for part in parts) == choice["text"]
        assert [part["finish_reason"] for part in parts] == [None] * 5 + ["length"]
        offsets = [offset for part in parts for offset in part["logprobs"]["text_offset"]]
        assert offsets == choice["logprobs"]["text_offset"]
    assert all(chunk["choices"] for chunk in chunks_of(post(client, stream=True)))


@pytest.mark.parametrize(
    ("fields", "status", "param"),
    [
        ({"n": 2, "best_of": 1}, 400, "best_of"),
        ({"max_tokens": 0}, 400, "max_tokens"),
        ({"stream": True, "echo": True}, 400, "echo"),
        ({"stream": True, "n": 1, "best_of": 2}, 400, "best_of"),
        ({"prompt": ["a"] * 65, "n": 2}, 413, "n"),
        ({"prompt": ["a"] * 65, "best_of": 2}, 413, "n"),
        ({"prompt": ""}, 400, "prompt"),
        ({"prompt": {}}, 400, "prompt"),
        ({"suffix": "x"}, 400, "suffix"),
        ({"stream_options": {"include_usage": True}}, 400, "stream_options"),
        ({"model": "none"}, 404, "model"),
        ({"model": "sentiment-en"}, 404, "model"),
        ({"max_tokens": 10_000}, 400, "prompt"),
        ({"prompt": [10**6]}, 400, "prompt"),
    ],
)
def test_an_error_names_the_field(client: TestClient, fields: dict[str, Any], status: int, param: str | None) -> None:
    response = post(client, **fields)
    assert (response.status_code, response.json()["error"]["param"]) == (status, param), response.text
