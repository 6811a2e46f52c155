"""OpenAI's own Python client, through the local server and through the handler. One test per case."""

from __future__ import annotations

import json
import struct
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path

import httpx2
import numpy as np
import openai
import pytest
from openai.types import Completion, CreateEmbeddingResponse
from openai.types.audio import TranscriptionVerbose
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from tests.support import ROOT

DIGITS = ROOT / "functions/catalog/page/digits.mp3"
TEXT_MODEL, CHAT_MODEL, EMBEDDING_MODEL, SPEECH_MODEL = "gpt-shakespeare", "talks", "embeddings-en", "deepspeech-digits"
MESSAGES = [{"role": "user", "content": "Who is there?"}]


@pytest.fixture(scope="module")
def client(server: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server}/v1", api_key="none", max_retries=0) as client:
        yield client


def test_models_are_listed_and_retrieved(client: openai.OpenAI) -> None:
    names = [model.id for model in client.models.list()]
    assert {TEXT_MODEL, EMBEDDING_MODEL, SPEECH_MODEL} <= set(names)
    assert client.models.retrieve(TEXT_MODEL).owned_by == "hearth"


def test_an_unknown_model_is_not_found(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as failure:
        client.models.retrieve("none")
    assert (failure.value.code, failure.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.NotFoundError) as failure:
        client.completions.create(model="none", prompt="a")
    assert failure.value.code == "model_not_found"
    assert failure.value.request_id


def test_an_unknown_route_has_openais_error(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as failure:
        client.moderations.create(input="a")
    assert isinstance(failure.value.body, dict)
    assert set(failure.value.body) == {"message", "type", "param", "code"}


def test_a_completion_with_usage(client: openai.OpenAI) -> None:
    completion = client.completions.create(model=TEXT_MODEL, prompt="ROMEO:\n", max_tokens=12, temperature=0)
    Completion.model_validate(completion.model_dump(), strict=True)
    assert completion.choices[0].text
    assert completion.choices[0].finish_reason == "length"
    assert completion.usage is not None
    assert completion.usage.completion_tokens == 12
    assert completion.usage.total_tokens == completion.usage.prompt_tokens + 12


def test_streamed_text_is_the_whole_text(client: openai.OpenAI) -> None:
    parameters = {"model": TEXT_MODEL, "prompt": "ROMEO:\n", "max_tokens": 16, "seed": 5, "temperature": 0.8}
    completion = client.completions.create(**parameters)
    chunks = list(client.completions.create(**parameters, stream=True, stream_options={"include_usage": True}))
    assert "".join(chunk.choices[0].text for chunk in chunks if chunk.choices) == completion.choices[0].text
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "length"
    assert chunks[-1].choices == []
    assert chunks[-1].usage == completion.usage
    assert {chunk.usage for chunk in chunks[:-1]} == {None}
    assert len({chunk.id for chunk in chunks}) == 1


def test_a_stream_ends_with_done(server: str) -> None:
    body = {"model": TEXT_MODEL, "prompt": "ROMEO:\n", "max_tokens": 3, "stream": True}
    response = httpx2.post(f"{server}/v1/completions", json=body)
    assert response.headers["content-type"].startswith("text/event-stream")
    frames = [frame for frame in response.text.split("\n\n") if frame.startswith("data:")]
    assert frames[-1] == "data: [DONE]"
    assert response.headers["x-hearth-stream"] in ("streamed", "buffered")
    assert "first;dur=" in response.text.rpartition(": server-timing")[2]


def test_a_seed_reproduces_a_completion(client: openai.OpenAI) -> None:
    parameters = {"model": TEXT_MODEL, "prompt": "ROMEO:\n", "max_tokens": 16, "seed": 7}
    assert (
        client.completions.create(**parameters).choices[0].text
        == client.completions.create(**parameters).choices[0].text
    )


def test_several_prompts_and_choices_are_numbered(client: openai.OpenAI) -> None:
    completion = client.completions.create(
        model=TEXT_MODEL, prompt=["ROMEO:\n", "JULIET:\n"], n=2, max_tokens=6, seed=1
    )
    assert [choice.index for choice in completion.choices] == [0, 1, 2, 3]
    assert len({choice.text for choice in completion.choices}) == 4
    assert completion.usage is not None
    assert completion.usage.completion_tokens == 24


def test_best_of_returns_the_likeliest_completion(client: openai.OpenAI) -> None:
    best = client.completions.create(model=TEXT_MODEL, prompt="ROMEO:\n", best_of=3, max_tokens=6, seed=1, logprobs=1)
    candidates = client.completions.create(model=TEXT_MODEL, prompt="ROMEO:\n", n=3, max_tokens=6, seed=1, logprobs=1)
    scores = [sum(choice.logprobs.token_logprobs) for choice in candidates.choices]  # type: ignore[union-attr,arg-type]
    assert best.choices[0].text == candidates.choices[int(np.argmax(scores))].text


def test_prompts_as_tokens(client: openai.OpenAI, store: Path) -> None:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(next((store / TEXT_MODEL).glob("*/tokenizer.json"))))
    completion = client.completions.create(model=TEXT_MODEL, prompt="ROMEO:\n", max_tokens=8, temperature=0)
    ids = tokenizer.encode("ROMEO:\n").ids
    assert (
        client.completions.create(model=TEXT_MODEL, prompt=ids, max_tokens=8, temperature=0).choices
        == completion.choices
    )


def test_echo_and_logprobs_score_a_text(client: openai.OpenAI) -> None:
    completion = client.completions.create(model=TEXT_MODEL, prompt="ROMEO:\n", max_tokens=0, echo=True, logprobs=0)
    (choice,) = completion.choices
    assert choice.text == "ROMEO:\n"
    assert choice.logprobs is not None
    assert "".join(choice.logprobs.tokens or []) == "ROMEO:\n"
    assert choice.logprobs.token_logprobs is not None
    assert choice.logprobs.token_logprobs[0] is None
    assert all(value < 0 for value in choice.logprobs.token_logprobs[1:])
    assert completion.usage is not None
    assert completion.usage.completion_tokens == 0
    plain = client.completions.create(model=TEXT_MODEL, prompt="ROMEO:\n", max_tokens=1)
    assert plain.usage is not None
    assert completion.usage.prompt_tokens == plain.usage.prompt_tokens == len(choice.logprobs.tokens or [])


def test_logprobs_have_the_likeliest_tokens(client: openai.OpenAI) -> None:
    completion = client.completions.create(model=TEXT_MODEL, prompt="ROMEO:\n", max_tokens=4, temperature=0, logprobs=3)
    logprobs = completion.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.text_offset == [len("".join(logprobs.tokens[:i])) for i in range(4)]  # type: ignore[index]
    for value, top in zip(logprobs.token_logprobs, logprobs.top_logprobs, strict=True):  # type: ignore[arg-type]
        assert value == max(top.values())


def test_a_bias_forbids_a_token(client: openai.OpenAI, server: str) -> None:
    parameters = {"model": TEXT_MODEL, "prompt": "ROMEO:\n", "max_tokens": 1, "temperature": 0, "logprobs": 2}
    native_body = {"inputs": "ROMEO:\n", "parameters": {"max_new_tokens": 1, "details": True, "top_n_tokens": 2}}
    details = httpx2.post(f"{server}/models/{TEXT_MODEL}", json=native_body).json()[0]["details"]
    first, second = details["top_tokens"][0]
    assert client.completions.create(**parameters).choices[0].text == first["text"]
    assert (
        client.completions.create(**parameters, logit_bias={str(first["id"]): -100}).choices[0].text == second["text"]
    )


def test_a_stop_string_over_two_tokens_is_never_sent(client: openai.OpenAI) -> None:
    parameters = {"model": TEXT_MODEL, "prompt": "ROMEO:\n", "max_tokens": 30, "temperature": 0}
    text = client.completions.create(**parameters).choices[0].text
    stop = text[10:15]
    chunks = list(client.completions.create(**parameters, stop=[stop, "never"], stream=True))
    assert "".join(chunk.choices[0].text for chunk in chunks) == text[: text.index(stop)]
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_a_character_of_several_tokens_is_never_cut(client: openai.OpenAI) -> None:
    parameters = {"model": CHAT_MODEL, "prompt": "我非常", "max_tokens": 80, "seed": 3}
    pieces = [chunk.choices[0].text for chunk in client.completions.create(**parameters, stream=True)]
    assert "".join(pieces) == client.completions.create(**parameters).choices[0].text
    assert not any(piece.startswith("�") and len(piece) == 1 for piece in pieces[:1])


def test_a_conversation(client: openai.OpenAI) -> None:
    completion = client.chat.completions.create(model=CHAT_MODEL, messages=MESSAGES, max_tokens=10, temperature=0)  # type: ignore[arg-type]
    ChatCompletion.model_validate(completion.model_dump(), strict=True)
    assert completion.choices[0].message.role == "assistant"
    messages = [{"role": "user", "content": [{"type": "text", "text": "Who is "}, {"type": "text", "text": "there?"}]}]
    parts_completion = client.chat.completions.create(
        model=CHAT_MODEL, messages=messages, max_completion_tokens=10, temperature=0
    )  # type: ignore[arg-type]
    assert parts_completion.choices == completion.choices


def test_a_streamed_conversation(client: openai.OpenAI) -> None:
    parameters = {"model": CHAT_MODEL, "messages": MESSAGES, "max_tokens": 10, "temperature": 0}
    chunks = list(client.chat.completions.create(**parameters, stream=True, stream_options={"include_usage": True}))
    for chunk in chunks:
        ChatCompletionChunk.model_validate(chunk.model_dump(), strict=True)
    assert chunks[0].choices[0].delta.role == "assistant"
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    completion = client.chat.completions.create(**parameters)
    assert text == completion.choices[0].message.content
    assert chunks[-2].choices[0].finish_reason == completion.choices[0].finish_reason
    assert chunks[-1].usage == completion.usage


def test_logprobs_of_a_conversation(client: openai.OpenAI) -> None:
    parameters = {
        "model": CHAT_MODEL,
        "messages": MESSAGES,
        "max_tokens": 3,
        "temperature": 0,
        "logprobs": True,
        "top_logprobs": 2,
    }
    logprobs = client.chat.completions.create(**parameters).choices[0].logprobs
    assert logprobs is not None
    assert logprobs.content is not None
    assert [len(token.top_logprobs) for token in logprobs.content] == [2, 2, 2]
    assert logprobs.content[0].bytes == list(logprobs.content[0].token.encode())


REFUSED = [
    ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
    ({"response_format": {"type": "xml"}}, "response_format.type"),
    ({"temperature": 3}, "temperature"),
    ({"n": 0}, "n"),
    ({"top_logprobs": 2}, "top_logprobs"),
    ({"max_tokens": 10_000}, "messages"),
    ({"stream_options": {"include_usage": True}}, "stream_options"),
    ({"logit_bias": {"a": 1}}, "logit_bias"),
    ({"stop": ["a", "b", "c", "d", "e"]}, "stop"),
    ({"messages": []}, "messages"),
    ({"messages": [{"role": "robot", "content": "a"}]}, "messages[0].role"),
]


@pytest.mark.parametrize(("extra", "param"), REFUSED, ids=[f"{next(iter(extra))}" for extra, _ in REFUSED])
def test_unsupported_parameters_are_refused(client: openai.OpenAI, extra: dict[str, object], param: str | None) -> None:
    with pytest.raises(openai.APIStatusError) as failure:
        client.chat.completions.create(**{"model": CHAT_MODEL, "messages": MESSAGES, **extra})  # type: ignore[call-overload]
    assert 400 <= failure.value.status_code < 500
    assert failure.value.type == "invalid_request_error"
    assert failure.value.param == param
    assert "max_new_tokens" not in failure.value.message


def test_a_model_without_a_chat_template_is_refused(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model=EMBEDDING_MODEL, messages=MESSAGES)  # type: ignore[arg-type]


def test_embeddings_are_the_same_as_floats_and_as_base64(client: openai.OpenAI, server: str) -> None:
    texts = ["A man plays the guitar.", "Two dogs run."]
    response = client.embeddings.create(model=EMBEDDING_MODEL, input=texts)  # the client requests base64 by default
    CreateEmbeddingResponse.model_validate(response.model_dump(), strict=True)
    floats = client.embeddings.create(model=EMBEDDING_MODEL, input=texts, encoding_format="float")
    np.testing.assert_allclose(
        [item.embedding for item in response.data], [item.embedding for item in floats.data], atol=1e-7
    )
    body = {"model": EMBEDDING_MODEL, "input": texts[0], "encoding_format": "base64"}
    raw = httpx2.post(f"{server}/v1/embeddings", json=body).json()["data"][0]["embedding"]
    data = b64decode(raw)
    np.testing.assert_allclose(struct.unpack(f"<{len(data) // 4}f", data), response.data[0].embedding)
    assert response.usage.prompt_tokens > 10


def test_embeddings_of_more_texts_than_a_batch(client: openai.OpenAI) -> None:
    response = client.embeddings.create(model=EMBEDDING_MODEL, input=[f"text {number}" for number in range(70)])
    assert [item.index for item in response.data] == list(range(70))


def test_embeddings_of_fewer_dimensions(client: openai.OpenAI) -> None:
    response = client.embeddings.create(model=EMBEDDING_MODEL, input="A dog.", dimensions=16)
    assert len(response.data[0].embedding) == 16
    with pytest.raises(openai.BadRequestError) as failure:
        client.embeddings.create(model=EMBEDDING_MODEL, input="A dog.", dimensions=100_000)
    assert failure.value.param == "dimensions"


def test_embeddings_of_tokens_are_refused(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as failure:
        client.embeddings.create(model=EMBEDDING_MODEL, input=[[1, 2, 3]])
    assert failure.value.param == "input"


def test_a_transcription(client: openai.OpenAI) -> None:
    transcript = client.audio.transcriptions.create(model=SPEECH_MODEL, file=DIGITS)
    assert len(transcript.text.split()) > 2


def test_a_transcription_as_text_and_subtitles(client: openai.OpenAI) -> None:
    text = client.audio.transcriptions.create(model=SPEECH_MODEL, file=DIGITS).text
    assert client.audio.transcriptions.create(model=SPEECH_MODEL, file=DIGITS, response_format="text").strip() == text
    srt = client.audio.transcriptions.create(model=SPEECH_MODEL, file=DIGITS, response_format="srt")
    assert srt.startswith("1\n00:00:0")
    assert " --> " in srt
    vtt = client.audio.transcriptions.create(model=SPEECH_MODEL, file=DIGITS, response_format="vtt")
    assert vtt.startswith("WEBVTT\n\n00:00:0")


def test_a_transcription_with_word_times(client: openai.OpenAI) -> None:
    verbose = client.audio.transcriptions.create(
        model=SPEECH_MODEL, file=DIGITS, response_format="verbose_json", timestamp_granularities=["word", "segment"]
    )
    assert isinstance(verbose, TranscriptionVerbose)
    TranscriptionVerbose.model_validate(verbose.model_dump(), strict=True)
    assert verbose.words is not None
    assert " ".join(word.word for word in verbose.words) == verbose.text
    times = [time for word in verbose.words for time in (word.start, word.end)]
    assert times == sorted(times)
    assert times[-1] <= verbose.duration + 0.1
    assert verbose.segments is not None
    assert " ".join(segment.text for segment in verbose.segments) == verbose.text


@pytest.mark.parametrize(
    ("extra", "param"),
    [
        ({"temperature": 2}, "temperature"),
        ({"response_format": "diarized_json"}, "response_format"),
        ({"language": "de"}, "language"),
        ({"timestamp_granularities": ["word"]}, "timestamp_granularities"),
        ({"file": b"not a sound"}, "file"),
        ({"include": ["logprobs"]}, "include"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_unsupported_transcription_parameters_are_refused(
    client: openai.OpenAI, extra: dict[str, object], param: str
) -> None:
    with pytest.raises(openai.APIStatusError) as failure:
        client.audio.transcriptions.create(**{"model": SPEECH_MODEL, "file": DIGITS, **extra})  # type: ignore[call-overload]
    assert failure.value.status_code in (400, 415)
    assert failure.value.param == param


def test_versions_and_aliases(client: openai.OpenAI) -> None:
    parameters = {"prompt": "ROMEO:\n", "max_tokens": 6, "temperature": 0}
    version = client.models.retrieve(TEXT_MODEL).version  # type: ignore[attr-defined]
    texts = {
        client.completions.create(model=name, **parameters).choices[0].text
        for name in (TEXT_MODEL, f"{TEXT_MODEL}@{version}", f"{TEXT_MODEL}@prod")
    }
    assert len(texts) == 1


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"model": 5}', b'{"model": "gpt-shakespeare", "prompt": {}}'])
def test_a_malformed_body_has_openais_error(server: str, body: bytes) -> None:
    response = httpx2.post(f"{server}/v1/completions", content=body)
    assert response.status_code == 400
    assert set(json.loads(response.content)["error"]) == {"message", "type", "param", "code"}
