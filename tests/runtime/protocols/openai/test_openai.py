"""Which routes OpenAI's protocol has."""

from __future__ import annotations

from hearth.protocols.openai import PROTOCOL


def test_the_routes_are_openais() -> None:
    assert {(route.method, route.path) for route in PROTOCOL.routes} >= {
        ("GET", "/v1/models"),
        ("GET", "/v1/models/{name}"),
        ("POST", "/v1/completions"),
        ("POST", "/v1/chat/completions"),
        ("POST", "/models/{name}/v1/chat/completions"),
        ("POST", "/v1/embeddings"),
        ("POST", "/v1/audio/transcriptions"),
    }
    assert not any(route.public for route in PROTOCOL.routes)
    for named in (route for route in PROTOCOL.routes if route.model_name):
        assert named.model_name
        assert named.model_name({"name": "m@1"}) == "m@1"
