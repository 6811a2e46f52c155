"""Generation of texts, whole and streamed."""

from __future__ import annotations

import json

from starlette.testclient import TestClient

from hearth.models.cache import warm_cache


def test_generate_and_generate_stream_return_the_same_text(client: TestClient) -> None:
    path = "/v2/models/gpt-shakespeare/generate"
    body = {"text_input": "ROMEO:\n", "parameters": {"max_new_tokens": 12, "seed": 3, "temperature": 0.7}, "id": "g"}
    output = client.post(path, json=body).json()
    assert (output["id"], output["model_name"]) == ("g", "gpt-shakespeare")
    assert output["model_version"] == warm_cache().registry.find("gpt-shakespeare").version
    flat_body = {"text_input": "ROMEO:\n", "max_tokens": 12, "seed": 3, "temperature": 0.7, "stream": False}
    assert client.post(path, json=flat_body).json()["text_output"] == output["text_output"]
    stream = client.post(f"{path}_stream", json=body)
    assert stream.headers["content-type"].startswith("text/event-stream")
    chunks = [json.loads(line[6:]) for line in stream.text.splitlines() if line.startswith("data: ")]
    assert len(chunks) > 3
    assert "".join(chunk["text_output"] for chunk in chunks) == output["text_output"]
    assert {chunk["id"] for chunk in chunks} == {"g"}
    assert [chunk["done"] for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    for invalid in (
        {"text_input": "a", "stream": True},
        {"text_input": "a", "seed": 1, "parameters": {"seed": 1}},
        {"text_input": "a", "colour": 1},
        {"text_input": ""},
        {"max_tokens": 1},
    ):
        response = client.post(path, json=invalid)
        assert (response.status_code, set(response.json())) == (400, {"error"})
    assert client.post(f"{path}_stream", json={"text_input": ""}).status_code == 400  # before the stream starts
