"""Hugging Face's payloads: inference, streams and their errors, and the catalogue."""

from __future__ import annotations

import json
from typing import Any

import pytest
from starlette.testclient import TestClient

from hearth import __version__
from hearth.errors import BadRequest, HearthError, Internal, NotFound, PayloadTooLarge, StoreError, TooManyRequests
from hearth.models.cache import warm_cache
from hearth.protocols.huggingface import OverloadedError, ValidationError, _generation_error, encode_error

GENERATE = "/models/gpt-shakespeare"


def test_an_error_has_its_type_and_request() -> None:
    document = {"error": "gone", "error_type": "not_found", "request_id": "r"}
    assert json.loads(encode_error(NotFound("gone"), "r")) == document


def test_a_model_answers_by_name_and_by_task(client: TestClient) -> None:
    body = {"inputs": "i love it", "parameters": {"top_k": 1}}
    answers = [
        client.post(path, json=body) for path in ("/models/sentiment-en", "/pipeline/text-classification/sentiment-en")
    ]
    assert [response.status_code for response in answers] == [200, 200]
    assert answers[0].json() == answers[1].json()
    assert answers[0].json()[0][0]["label"] == "positive"
    assert client.post("/pipeline/translation/sentiment-en", json=body).status_code == 404


def test_the_catalogue_has_every_model(client: TestClient) -> None:
    models = client.get("/models").json()["models"]
    assert [model["name"] for model in models] == warm_cache().registry.models()
    manifest = warm_cache().resolve("sentiment-en").manifest
    (model,) = (model for model in models if model["name"] == "sentiment-en")
    assert model == {
        "name": "sentiment-en",
        "task": manifest.task,
        "version": manifest.version,
        "description": manifest.description,
        "licence": manifest.licence,
        "size": manifest.size,
        "metrics": manifest.metrics.served,
    }


def test_a_model_is_described_long_and_short(client: TestClient) -> None:
    manifest = warm_cache().resolve("sentiment-en").manifest
    assert client.get("/models/sentiment-en").json()["files"][0]["path"] == manifest.files[0].path
    assert client.get("/models/sentiment-en/info").json() == {
        "model_id": "sentiment-en",
        "model_version": manifest.version,
        "model_task": manifest.task,
        "licence": manifest.licence,
        "version": __version__,
    }
    assert client.get("/models/sentiment-en/health").json() == {"status": "ok"}
    for path in ("", "/info", "/health"):
        assert client.get(f"/models/none{path}").status_code == 404


def generate(client: TestClient, **parameters: Any) -> list[Any]:
    body = {"inputs": "ROMEO:\n", "stream": True, "parameters": {"max_new_tokens": 5, "seed": 7, **parameters}}
    response = client.post(GENERATE, json=body)
    assert response.status_code == 200, response.text
    return [json.loads(line[6:]) for line in response.text.splitlines() if line.startswith("data: ")]


def test_a_stream_has_an_event_per_token_and_the_text_at_its_end(client: TestClient) -> None:
    events = generate(client)
    assert [event["index"] for event in events] == [1, 2, 3, 4, 5]
    text = "".join(event["token"]["text"] for event in events)
    assert [event["generated_text"] for event in events] == [None] * 4 + [text]
    assert [event["details"] is None for event in events] == [True] * 4 + [False]
    details = events[-1]["details"]
    assert (details["finish_reason"], details["generated_tokens"], details["seed"]) == ("length", 5, 7)
    assert details["input_length"] > 0
    assert events[0]["token"].keys() == {"id", "text", "logprob", "special"}
    assert "top_tokens" not in events[0]
    whole = client.post(GENERATE, json={"inputs": "ROMEO:\n", "parameters": {"max_new_tokens": 5, "seed": 7}}).json()
    assert whole[0]["generated_text"].endswith(text)


def test_a_stream_ends_with_the_full_text_that_was_requested(client: TestClient) -> None:
    parameters = {"max_new_tokens": 5, "seed": 7, "return_full_text": True}
    whole = client.post(GENERATE, json={"inputs": "ROMEO:\n", "parameters": parameters}).json()
    last = generate(client, return_full_text=True)[-1]
    assert last["generated_text"] == whole[0]["generated_text"]
    assert last["generated_text"].startswith("ROMEO:\n")


def test_details_of_the_prompt_are_not_streamed(client: TestClient) -> None:
    body = {"inputs": "a", "stream": True, "parameters": {"decoder_input_details": True}}
    response = client.post(GENERATE, json=body)
    assert response.status_code == 400
    assert "`decoder_input_details` cannot be streamed" in response.json()["error"]


def test_the_likeliest_tokens_are_sent_on_request(client: TestClient) -> None:
    events = generate(client, top_n_tokens=2, do_sample=False)
    for event in events:
        assert [token.keys() for token in event["top_tokens"]] == [{"id", "text", "logprob", "special"}] * 2
        assert event["top_tokens"][0]["id"] == event["token"]["id"]
        assert event["top_tokens"][0]["logprob"] == pytest.approx(event["token"]["logprob"])
        assert event["top_tokens"][0]["special"] is False


@pytest.mark.parametrize("stream", [False, True])
def test_generation_has_the_error_types_of_the_client(client: TestClient, stream: bool) -> None:
    body = {"inputs": "a", "stream": stream, "parameters": {"top_p": 7}}
    response = client.post(GENERATE, json=body)
    assert (response.status_code, response.json()["error_type"]) == (400, "validation")
    long = client.post(GENERATE, json={"inputs": "a " * 5000, "stream": stream})
    assert (long.status_code, long.json()["error_type"]) == (413, "validation")
    other = client.post("/models/sentiment-en", json={"inputs": 5})
    assert (other.status_code, other.json()["error_type"]) == (400, "bad_request")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (BadRequest("x", param="p"), ValidationError),
        (PayloadTooLarge("x"), ValidationError),
        (TooManyRequests("x", retry_after=7), ValidationError),
        (StoreError("x", retry_after=3), OverloadedError),
    ],
)
def test_an_error_of_generation_keeps_all_but_its_code(error: HearthError, kind: type[HearthError]) -> None:
    converted = _generation_error(error)
    assert type(converted) is kind
    assert (converted.status, converted.message, converted.retry_after) == (
        error.status,
        error.message,
        error.retry_after,
    )
    assert converted.param == (error.param if isinstance(error, BadRequest) else None)


def test_an_internal_error_of_generation_stays_one() -> None:
    error = Internal("x")
    assert _generation_error(error) is error


def test_the_catalogue_comes_in_pages(client: TestClient) -> None:
    names = warm_cache().registry.models()
    listed, after = list[str](), ""
    while True:
        page = client.get("/models", params={"limit": 1, "after": after}).json()
        listed += [model["name"] for model in page["models"]]
        if "next" not in page:
            break
        after = page["next"]
    assert listed == names
    assert "next" not in client.get("/models").json()


@pytest.mark.parametrize("limit", ["0", "1001", "-1", "1.5", "many", "\u0661", "9" * 30])
def test_a_limit_that_is_no_number_of_models_is_refused(client: TestClient, limit: str) -> None:
    response = client.get("/models", params={"limit": limit})
    assert (response.status_code, response.json()["error"]) == (400, "`limit` must be a number from 1 to 1000")
