"""Who may call which models: in every protocol and route, however they are spelled."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from hearth.auth import api_keys
from hearth.aws_lambda.handler import create_handler
from hearth.errors import OutOfScope
from hearth.models import preload
from hearth.models.cache import warm_cache
from hearth.protocols.base import Request, Route
from hearth.protocols.open_inference.target import find_target
from hearth.protocols.router import protocols
from hearth_build.cli import serve
from hearth_functions.image_classification import app as image
from hearth_functions.text_classification import app as text
from tests.runtime.aws_lambda.test_handler import CONTEXT, rest_v1_event
from tests.support.api_keys import KEYS, key_header
from tests.support.artifacts import make_text_artifact
from tests.support.pictures import picture

MODELS = {"words": "sentiment-en", "pictures": "resnet20-cifar10"}


TASK = {"sentiment-en": "text-classification", "resnet20-cifar10": "image-classification"}


BODY = {"sentiment-en": b'{"inputs": "good"}', "resnet20-cifar10": picture()}


@pytest.fixture
def client(locked: Path) -> Iterator[TestClient]:
    with TestClient(serve.app()) as client:
        yield client


CHAT = b'{"model": "x", "messages": [{"role": "user", "content": "a"}]}'


ROUTES = [(protocol, route) for protocol in protocols() for route in protocol.routes]


NAMED = [(protocol, route) for protocol, route in ROUTES if "{name}" in route.path]


def path_for(route: Route, model: str) -> str:
    values = {"name": model, "version": "1", "task": TASK[model], "id": "x" * 22, "digest": "0", "file": "x"}
    return re.sub(r"{(\w+)(?::\w+)?}", lambda match: values.get(match[1], "x"), route.path)


@pytest.mark.parametrize("model", MODELS.values())
@pytest.mark.parametrize(
    ("protocol", "route"), NAMED, ids=[f"{protocol.name} {route.method} {route.path}" for protocol, route in NAMED]
)
def test_each_key_reaches_only_its_models_by_every_route(
    client: TestClient, protocol: Any, route: Route, model: str
) -> None:
    is_prediction = protocol.name in ("huggingface", "sagemaker")
    bodies = {
        "chat": CHAT,
        "rerank": b'{"query": "a", "texts": ["b"]}',
        "feedback": b'{"request_id": "a", "rating": 5}',
    }
    other_body = next((body for name, body in bodies.items() if name in route.path), b"")
    path, body = path_for(route, model), other_body or (BODY[model] if is_prediction else b"")
    for key_name, allowed in MODELS.items():
        response = client.request(route.method, path, content=body, headers=key_header(key_name))
        if allowed == model:
            assert response.status_code not in (401, 403, 429), response.text
            if route.method == "GET" or is_prediction:
                assert response.status_code == 200, response.text
        else:
            assert response.status_code == 403, response.text
            assert MODELS[key_name] not in response.text
    for headers in ({}, {"x-api-key": "hearth_wrong"}):
        assert client.request(route.method, path, content=body, headers=headers).status_code == 401


OPENAI = {
    "/v1/completions": {"prompt": "a"},
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "a"}]},
    "/v1/embeddings": {"input": "a"},
}


def test_models_named_in_a_body_or_header_are_checked(client: TestClient) -> None:
    for path, document in OPENAI.items():
        for model, status in (("sentiment-en", 404), ("sentiment-en@1", 404), ("resnet20-cifar10@1", 403)):
            response = client.post(path, json={"model": model, **document}, headers=key_header("words"))
            assert response.status_code == status, response.text  # 404: it exists, but for another task
            assert response.json()["error"]["type"] == (
                "permission_error" if status == 403 else "invalid_request_error"
            )
    form = {"model": (None, "resnet20-cifar10"), "file": ("a.wav", b"RIFF")}
    assert client.post("/v1/audio/transcriptions", files=form, headers=key_header("words")).status_code == 403
    for path in ("/invocations", "/endpoints/sentiment-en/invocations"):
        headers = {**key_header("words"), "X-Amzn-SageMaker-Target-Model": "resnet20-cifar10"}
        response = client.post(path, content=picture(), headers=headers)
        assert (response.status_code, response.json()["__type"]) == (403, "AccessDeniedException")
        assert client.post(path, content=BODY["sentiment-en"], headers=key_header("words")).status_code == 200
    assert (
        client.post("/invocations", content=BODY["sentiment-en"], headers=key_header("all")).status_code == 400
    )  # no model is named


def test_lists_have_only_the_callers_models(client: TestClient) -> None:
    def names(key_name: str) -> tuple[list[str], ...]:
        def get(method: str, path: str) -> Any:
            return client.request(method, path, headers=key_header(key_name)).json()

        return (
            [row["name"] for row in get("GET", "/models")["models"]],
            [row["id"] for row in get("GET", "/v1/models")["data"]],
            [name for name in get("GET", "/v2/models")["models"] if "-raw" not in name],
            [row["name"] for row in get("POST", "/v2/repository/index")],
            [row["name"] for row in get("GET", "/v2/models/stats")["model_stats"]],
        )

    assert names("words") == (["sentiment-en"],) * 5
    assert names("pictures") == (["resnet20-cifar10"],) * 5
    assert names("all") == (["resnet20-cifar10", "sentiment-en"],) * 5
    described = client.get("/openapi.json").text
    assert not [model for model in MODELS.values() if model in described]


def test_the_documentation_page_can_send_a_key(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    assert document["security"] == [{"key": []}, {"bearer": []}]
    assert document["components"]["securitySchemes"]["key"]["name"] == "x-api-key"
    assert document["paths"]["/ping"]["get"]["security"] == []
    assert "security" not in document["paths"]["/models"]["get"]


def test_only_health_page_and_documentation_are_public(client: TestClient) -> None:
    public = {route.path for protocol in protocols() for route in protocol.routes if route.public}
    assert {"/v2/health/live", "/v2/health/ready", "/ping"} <= public
    for path in ("/v2/health/live", "/v2/health/ready", "/ping", "/", "/docs", "/openapi.json"):
        assert client.get(path).status_code == 200, path
    for protocol, route in ROUTES:
        if not route.public:
            response = client.request(route.method, path_for(route, "sentiment-en"))
            assert (response.status_code, response.headers["www-authenticate"]) == (401, "Bearer"), route.path
            assert "sentiment-en" not in response.text, (protocol.name, route.path)


TRICKS = [
    *("/models/sentiment%2Den", "/models/sentiment-en%401", "/models/sentiment-en@prod", "/models/SENTIMENT-EN"),
    *("/models/resnet20-cifar10%2F..%2Fsentiment-en", "/models/./sentiment-en", "/models//sentiment-en"),
    *("/models/resnet20-cifar10/../sentiment-en", "/models/resnet20-cifar10@1/../../sentiment-en/1"),
    *("/models/resnet20-cifar10@..", "/models/resnet20-cifar10@1/../sentiment-en", "/models/sentiment-en%00"),
    *("/models/sentiment-en%20", "/models/%73entiment-en", "/models/resnet*", "/models/*", "/models/[s]entiment-en"),
    *("/models/sentiment-en/info", "/models/sentiment-en%2Finfo", "/models/sentiment-en;resnet20-cifar10"),
    *("/v2/models/sentiment-en-raw", "/v2/models/sentiment-en-raw-main", "/v2/models/sentiment-en-raw@1"),
    *("/v2/models/sentiment-en@1/versions/1", "/v2/models/resnet20-cifar10/versions/..%2f..%2fsentiment-en%2f1"),
    *("/v2/models/resnet20-cifar10@sentiment-en", "/v1/models/sentiment-en@1", "/v1/models/sentiment-en%0a"),
    *("/models/resnet20-cifar10?name=sentiment-en&model=sentiment-en", "/v2/models/sentiment-en-raw/config"),
]


@pytest.mark.parametrize("path", TRICKS)
def test_no_spelling_of_a_path_reaches_another_model(locked: Path, path: str) -> None:
    handler = create_handler((*text.TASKS, *image.TASKS))
    decoded = path.replace("%2F", "/").replace("%2f", "/").replace("%40", "@").replace("%73", "s").replace("%2D", "-")
    local_app = TestClient(serve.app())
    for method, body in (("GET", b""), ("POST", b'{"inputs": "good"}')):
        response = local_app.request(method, path, content=body, headers=key_header("pictures"))
        responses = [(response.status_code, response.text)]
        for spelling in {path, decoded}:
            event = rest_v1_event(spelling.partition("?")[0], body, method)
            event["multiValueHeaders"] |= {"X-Api-Key": [KEYS["pictures"]]}
            output = handler(event, CONTEXT)
            responses.append((output["statusCode"], output["body"]))
        for status, reply in responses:
            assert 400 <= status < 500 or "resnet20-cifar10" in reply, (method, path, status, reply)
            for secret in ('"positive"', '"negative"', "bert", "input_ids", "model.bin"):
                if "resnet20-cifar10" not in reply:
                    assert secret not in reply, (method, path, reply)


def test_a_scope_may_name_a_model_whose_name_ends_with_raw(serving: Path) -> None:
    make_text_artifact(serving, model="words-raw")

    def resolve(name: str, *scope: str) -> str:
        token = api_keys._caller.set(api_keys.Caller("t", scope))
        try:
            return find_target(Request((), path_params={"name": name})).resolved.ref.model
        finally:
            api_keys._caller.reset(token)

    assert resolve("words-raw", "words-raw") == "words-raw"
    assert resolve("sentiment-en-raw", "sentiment-en") == "sentiment-en"
    with pytest.raises(OutOfScope):
        resolve("sentiment-en-raw", "words-raw")


def test_the_key_comes_in_either_header(client: TestClient) -> None:
    key = KEYS["words"]
    for headers in (
        {"X-API-Key": key},
        {"Authorization": f"Bearer {key}"},
        {"authorization": f"bearer  {key}"},
        {"x-api-key": key, "authorization": "AWS4-HMAC-SHA256 Credential=x"},
    ):
        assert client.get("/models/sentiment-en", headers=headers).status_code == 200, headers
    for headers in (
        {"x-api-key": key + "x"},
        {"x-api-key": key[:-1]},
        {"x-api-key": hashlib.sha256(key.encode()).hexdigest()},
        {"Authorization": f"Basic {key}"},
        {"Authorization": key},
        {"x-api-key": "wrong", "Authorization": f"Bearer {key}"},
        {"x-api-key": "é" * 5000},
        {"cookie": f"x-api-key={key}"},
    ):
        sendable = {name.encode(): value.encode("utf-8") for name, value in headers.items()}
        assert client.get("/models/sentiment-en", headers=sendable).status_code == 401, headers
    assert client.get(f"/models/sentiment-en?x-api-key={key}").status_code == 401


def test_each_protocol_has_its_own_error_format(client: TestClient) -> None:
    paths = {
        "huggingface": "/models",
        "open_inference": "/v2/models",
        "openai": "/v1/models",
        "sagemaker": "/invocations",
    }
    responses = {}
    for name, path in paths.items():
        for status, headers in ((401, {}), (429, key_header("slow"))):
            for _ in range(4):
                response = client.request("POST" if name == "sagemaker" else "GET", path, headers=headers)
                if response.status_code == status:
                    break
            assert response.status_code == status, response.text
            if status == 429:
                assert re.fullmatch(r"[1-9]\d*", response.headers["retry-after"])
                assert int(response.headers["retry-after"]) <= 1000
            responses[name, status] = response
    assert responses["huggingface", 401].json()["error_type"] == "unauthorized"
    assert responses["huggingface", 429].json()["error_type"] == "too_many_requests"
    assert set(responses["open_inference", 401].json()) == set(responses["open_inference", 429].json()) == {"error"}
    assert responses["openai", 401].json()["error"]["code"] == "invalid_api_key"
    assert responses["openai", 429].json()["error"]["code"] == "rate_limit_exceeded"
    assert responses["openai", 429].headers["x-should-retry"] == "true"
    assert responses["sagemaker", 401].json()["__type"] == "AccessDeniedException"
    assert responses["sagemaker", 429].json()["__type"] == "ThrottlingException"


def test_an_unauthorized_request_is_401_before_its_body_is_read(locked: Path) -> None:
    """Even a body that never ends gets a response."""
    events: list[str] = []

    async def receive() -> dict[str, Any]:
        events.append("read")
        return {"type": "http.request", "body": b"x" * 1000, "more_body": True}

    async def ask(headers: list[tuple[bytes, bytes]]) -> int:
        statuses: list[int] = []

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])

        scope = {"type": "http", "method": "POST", "path": "/models/sentiment-en", "headers": headers}
        scope |= {"query_string": b"", "http_version": "1.1", "scheme": "http", "server": ("x", 80), "root_path": ""}
        await serve.app()(scope, receive, send)
        return statuses[0]

    with closing(
        asyncio.new_event_loop()
    ) as loop:  # asyncio.run would unset the thread's event loop, which Mangum uses
        assert loop.run_until_complete(ask([])) == 401
        assert loop.run_until_complete(ask([(b"x-api-key", b"wrong")])) == 401
        assert events == []
        assert (
            loop.run_until_complete(ask([(b"x-api-key", KEYS["words"].encode())])) == 413
        )  # the control: this body is read
    assert len(events) > 1000


def test_fifty_concurrent_requests_never_exceed_the_burst(client: TestClient) -> None:
    def ask(_: int) -> int:
        return client.get("/models/sentiment-en", headers=key_header("slow")).status_code

    with ThreadPoolExecutor(50) as pool:
        statuses = list(pool.map(ask, range(50)))
    assert (statuses.count(200), statuses.count(429)) == (2, 48)
    assert (
        client.get("/models/sentiment-en", headers=key_header("all")).status_code == 200
    )  # other keys have their own limits


def test_a_function_with_api_keys_loads_nothing_without_a_key(locked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    threads = []
    start_load = preload.start_load
    monkeypatch.setattr(preload, "start_load", lambda *load: threads.append(start_load(*load)))
    for key_name, status in ((None, 401), ("pictures", 403), ("words", 200)):
        event = rest_v1_event("/models/sentiment-en", BODY["sentiment-en"])
        event["headers"] |= {"X-Api-Key": KEYS[key_name]} if key_name else {}
        event["multiValueHeaders"] |= {"X-Api-Key": [KEYS[key_name]]} if key_name else {}
        output = create_handler(text.TASKS)(event, CONTEXT)  # a new handler preloads
        assert output["statusCode"] == status, output
        for thread in threads:
            thread.join()
        assert bool(warm_cache().loaded()) is (key_name == "words")
        assert bool(threads) is (key_name == "words")


def test_statistics_count_only_the_callers_requests(client: TestClient) -> None:
    def execution_count(key_name: str) -> int:
        statistics = client.get("/v2/models/sentiment-en/stats", headers=key_header(key_name)).json()
        return int(statistics["model_stats"][0]["execution_count"])

    before = execution_count("words"), execution_count("all")
    for _ in range(3):
        client.post("/models/sentiment-en", content=BODY["sentiment-en"], headers=key_header("words"))
    assert (execution_count("words"), execution_count("all")) == (before[0] + 3, before[1])
