"""POST /v1/embeddings: batches, encodings, dimensions and errors."""

from __future__ import annotations

import struct
from base64 import b64decode
from typing import Any

import pytest
from starlette.testclient import TestClient

from hearth.models.cache import warm_cache
from hearth.protocols.openai.embeddings import MAX_TEXTS

MODEL = "embeddings-en"


def embed(client: TestClient, texts: Any, **fields: Any) -> Any:
    return client.post("/v1/embeddings", json={"model": MODEL, "input": texts, **fields})


def test_a_text_and_a_list_have_vectors(client: TestClient) -> None:
    one, two = embed(client, "A dog."), embed(client, ["A dog.", "A cat."])
    document = two.json()
    assert (document["object"], document["model"]) == ("list", MODEL)
    assert [(item["object"], item["index"]) for item in document["data"]] == [("embedding", 0), ("embedding", 1)]
    assert document["data"][0]["embedding"] == pytest.approx(one.json()["data"][0]["embedding"], abs=1e-5)
    usage = one.json()["usage"]
    assert usage["prompt_tokens"] == usage["total_tokens"] > 2


def test_more_texts_than_a_batch_are_embedded_in_order(client: TestClient) -> None:
    batch = warm_cache().resolve(MODEL).manifest.limits.batch
    texts = [f"text {number}" for number in range(batch + 3)]
    response = embed(client, texts).json()
    assert [item["index"] for item in response["data"]] == list(range(batch + 3))
    last = embed(client, texts[-1]).json()
    assert response["data"][-1]["embedding"] == pytest.approx(last["data"][0]["embedding"], abs=1e-5)
    assert response["usage"]["prompt_tokens"] > len(texts)


def test_base64_is_little_endian_float32(client: TestClient) -> None:
    floats = embed(client, "A dog.").json()["data"][0]["embedding"]
    raw = b64decode(embed(client, "A dog.", encoding_format="base64").json()["data"][0]["embedding"])
    assert struct.unpack(f"<{len(raw) // 4}f", raw) == pytest.approx(floats)
    assert len(raw) == 4 * len(floats)


def test_fewer_dimensions_are_given(client: TestClient) -> None:
    assert len(embed(client, "A dog.", dimensions=16).json()["data"][0]["embedding"]) == 16


@pytest.mark.parametrize(
    ("fields", "status", "param"),
    [
        ({"input": []}, 400, "input"),
        ({"input": [1, 2]}, 400, "input"),
        ({"input": [[1, 2]]}, 400, "input"),
        ({"input": ["a"] * (MAX_TEXTS + 1)}, 400, "input"),
        ({"input": "a" * 200_000}, 400, "input"),
        ({"dimensions": 0}, 400, "dimensions"),
        ({"dimensions": 100_000}, 400, "dimensions"),
        ({"encoding_format": "hex"}, 400, "encoding_format"),
        ({"model": "none"}, 404, "model"),
        ({"model": "sentiment-en"}, 404, "model"),
    ],
)
def test_an_error_names_the_field(client: TestClient, fields: dict[str, Any], status: int, param: str) -> None:
    response = client.post("/v1/embeddings", json={"model": MODEL, "input": "A dog.", **fields})
    assert response.status_code == status, response.text
    assert response.json()["error"]["param"] == param
