"""API keys: who may call which models and how often, in every protocol and route, and on AWS by claims."""

from __future__ import annotations

import ast
import asyncio
import hashlib
import hmac
import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from hearth import settings
from hearth.auth import api_keys
from hearth.auth.api_keys import Entry, KeyTable
from hearth.aws_lambda.handler import create_handler
from hearth.errors import OutOfScope, SettingsError, TooManyRequests, Unauthorized
from hearth.models import preload
from hearth.models.cache import warm_cache
from hearth.protocols.base import Request, Route
from hearth.protocols.open_inference.target import find_target
from hearth.protocols.router import protocols
from hearth_build.cli import serve
from hearth_functions.image_classification import app as image
from hearth_functions.text_classification import app as text
from tests.conftest import log_lines
from tests.functions.test_predict import picture
from tests.runtime.aws_lambda.test_handler import CONTEXT, http_v2_event, rest_v1_event
from tests.support import ROOT
from tests.support.artifacts import make_text_artifact

KEYS = {"words": "hearth_words", "pictures": "hearth_pictures", "all": "hearth_all", "slow": "hearth_slow"}
MODELS = {"words": "sentiment-en", "pictures": "resnet20-cifar10"}
TASK = {"sentiment-en": "text-classification", "resnet20-cifar10": "image-classification"}
BODY = {"sentiment-en": b'{"inputs": "good"}', "resnet20-cifar10": picture()}


def entry(name: str, models: list[str], **limits: Any) -> dict[str, Any]:
    return {"name": name, "sha256": hashlib.sha256(KEYS[name].encode()).hexdigest(), "models": models, **limits}


ENTRIES = [
    entry("words", ["sentiment-*"]),
    entry("pictures", ["resnet*"]),
    entry("all", ["*"]),
    entry("slow", ["*"], rate=0.001, burst=2),
]


@pytest.fixture
def locked(serving: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make this process serve the store only to callers with a key."""
    monkeypatch.setenv("HEARTH_API_KEYS", json.dumps(ENTRIES))
    settings.get.cache_clear()
    api_keys._read_table.cache_clear()
    return serving


@pytest.fixture
def client(locked: Path) -> Iterator[TestClient]:
    with TestClient(serve.app()) as client:
        yield client


def key_header(name: str) -> dict[str, str]:
    return {"x-api-key": KEYS[name]}


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
    path, body = path_for(route, model), BODY[model] if is_prediction else CHAT if "/chat/" in route.path else b""
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


# The keys themselves


def test_every_entry_is_compared_for_every_key(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[Any] = []

    def counting(first: Any, second: Any, compare: Callable[[Any, Any], bool] = hmac.compare_digest) -> bool:
        compared.append((first, second))
        return compare(first, second)

    monkeypatch.setattr(hmac, "compare_digest", counting)
    table = KeyTable([Entry(**fields) for fields in ENTRIES])
    for key in KEYS.values():
        compared.clear()
        assert table.find(key)
        assert len(compared) == len(ENTRIES)
    compared.clear()
    with pytest.raises(Unauthorized):
        table.find("hearth_nothing")
    assert len(compared) == len(ENTRIES)
    assert not {key for key in KEYS.values() if key in repr(vars(table))}, "no key itself is stored"


SECRET = re.compile(r"secret|password|api_?key|credential|presented|kept|\bmac\b|hmac", re.IGNORECASE)


def compared_secrets(source: str) -> list[str]:
    """Return comparisons with operators in which a name looks like that of a secret."""
    comparisons = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Compare) and any(
            isinstance(operator, (ast.Eq, ast.NotEq, ast.In, ast.NotIn)) for operator in node.ops
        ):
            names = {child.id for child in ast.walk(node) if isinstance(child, ast.Name)}
            names |= {child.attr for child in ast.walk(node) if isinstance(child, ast.Attribute)}
            if any(SECRET.search(name) for name in names):
                comparisons.append(ast.unparse(node))
    return comparisons


def test_secrets_are_never_compared_with_operators() -> None:
    assert compared_secrets("if kept == presented: pass") == ["kept == presented"]
    assert compared_secrets("found = api_key in table") == ["api_key in table"]
    folders = (ROOT / "layers/runtime/python/hearth", ROOT / "functions", ROOT / "export")
    for path in (path for folder in folders for path in folder.rglob("*.py")):
        assert compared_secrets(path.read_text()) == [], path
    assert "hmac.compare_digest" in (ROOT / "layers/runtime/python/hearth/auth/api_keys.py").read_text()


INVALID = [
    ("[{}]", "name"),
    ('[{"name": "a", "sha256": "00", "models": ["*"]}]', "sha256"),
    (json.dumps([ENTRIES[0] | {"models": []}]), "models"),
    (json.dumps([ENTRIES[0] | {"rate": -1}]), "rate"),
    (json.dumps([ENTRIES[0] | {"burst": 0}]), "burst"),
    (json.dumps([ENTRIES[0] | {"modles": []}]), "modles"),
    ("[", "JSON"),
    ("/nowhere/keys.json", "cannot be read"),
]


@pytest.mark.parametrize(("source", "message"), INVALID)
def test_unreadable_keys_are_a_settings_error(
    serving: Path, monkeypatch: pytest.MonkeyPatch, source: str, message: str
) -> None:
    monkeypatch.setenv("HEARTH_API_KEYS", source)
    settings.get.cache_clear()
    with pytest.raises(SettingsError, match=message):
        api_keys.key_table()
    with pytest.raises(SettingsError, match="HEARTH_API_KEYS"):
        serve.app()  # the server refuses to start
    output = create_handler(text.TASKS)(rest_v1_event("/models/sentiment-en", BODY["sentiment-en"]), CONTEXT)
    assert (output["statusCode"], json.loads(output["body"])["error_type"]) == (500, "settings_error")


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_keys_may_be_in_a_file(serving: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    (tmp_path / "keys.json").write_text(json.dumps(ENTRIES))
    monkeypatch.setenv("HEARTH_API_KEYS", f"{scheme}{tmp_path}/keys.json")
    settings.get.cache_clear()
    client = TestClient(serve.app())
    assert client.get("/models", headers=key_header("words")).status_code == 200
    assert client.get("/models").status_code == 401


# AWS


VERIFIED = [
    ({"identity": {"apiKeyId": "k1"}}, "key:k1"),
    ({"identity": {"apiKeyId": "k1", "userArn": "arn:aws:iam::1:user/a"}}, "arn:arn:aws:iam::1:user/a"),
    ({"authorizer": {"claims": {"sub": "u1"}}, "identity": {"apiKeyId": "k1"}}, "cognito:u1"),
    ({"authorizer": {"principalId": "p1"}}, "authorizer:p1"),
    ({"authorizer": {"claims": {"sub": 5}}}, None),
    ({"authorizer": None}, None),
    ({"authorizer": "admin"}, None),
]


@pytest.mark.parametrize(("request_context", "principal"), VERIFIED)
def test_on_aws_the_tenant_is_the_verified_principal(
    serving: Path, capsys: pytest.CaptureFixture[str], request_context: dict[str, Any], principal: str | None
) -> None:
    event = rest_v1_event("/models/sentiment-en", BODY["sentiment-en"])
    event["requestContext"] |= request_context
    forged = {
        "x-api-key": ["k9"],
        "x-tenant": ["k9"],
        "x-amzn-apigateway-api-id": ["k9"],
        "authorization": ["Bearer k9"],
    }
    event["multiValueHeaders"] |= forged
    assert create_handler(text.TASKS)(event, CONTEXT)["statusCode"] == 200
    lines = log_lines(capsys)
    assert [line.get("tenant") for line in lines] == [api_keys.tenant_hash(principal) if principal else None]
    assert "u1" not in json.dumps(lines)


def test_jwt_and_iam_of_http_apis_and_function_urls_give_the_tenant(
    serving: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for authorizer, principal in (
        ({"jwt": {"claims": {"sub": "u2"}}}, "jwt:u2"),
        ({"iam": {"userArn": "arn:aws:iam::1:role/r"}}, "iam:arn:aws:iam::1:role/r"),
    ):
        event = http_v2_event("/models/sentiment-en", BODY["sentiment-en"])
        event["requestContext"] |= {"authorizer": authorizer}
        assert create_handler(text.TASKS)(event, CONTEXT)["statusCode"] == 200
        assert log_lines(capsys)[-1]["tenant"] == api_keys.tenant_hash(principal)


def test_a_function_with_api_keys_loads_nothing_without_a_key(locked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    threads = []
    start_load = preload.start_load
    monkeypatch.setattr(preload, "start_load", lambda name: threads.append(start_load(name)))
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


# The caller in the context


@pytest.fixture
def no_caller() -> Iterator[None]:
    """A context without a caller, which is restored."""
    token = api_keys._caller.set(None)
    yield
    api_keys._caller.reset(token)


def test_a_caller_who_cannot_be_identified_may_use_nothing(locked: Path, no_caller: None) -> None:
    """Not even with the rights of the previous request on the same thread, or of work without a request."""
    for before in ("all", None):
        for headers in ({}, {"x-api-key": "wrong"}):
            api_keys._caller.set(None)
            if before:
                api_keys.authenticate(key_header(before))
                api_keys.authorize("sentiment-en")
            with pytest.raises(Unauthorized):
                api_keys.authenticate(headers)
            with pytest.raises(OutOfScope, match="may not use sentiment-en; GET /models lists"):
                api_keys.authorize("sentiment-en")
            assert api_keys.allowed_models(["sentiment-en"]) == []
            assert api_keys.current_tenant() == ""


def test_a_caller_with_too_many_requests_may_use_nothing(locked: Path, no_caller: None) -> None:
    for _ in range(2):
        caller = api_keys.authenticate(key_header("slow"))
        assert api_keys.current_tenant() == caller.tenant == api_keys.tenant_hash("slow")
    with pytest.raises(TooManyRequests, match=r"retry in (999|1000) s") as raised:
        api_keys.authenticate(key_header("slow"))
    assert raised.value.retry_after in (999, 1000)
    with pytest.raises(OutOfScope):
        api_keys.authorize("sentiment-en")


def test_a_short_wait_is_rounded_up_to_a_second(
    serving: Path, no_caller: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEARTH_API_KEYS", json.dumps([entry("all", ["*"], rate=100)]))
    settings.get.cache_clear()
    api_keys._read_table.cache_clear()
    api_keys.authenticate(key_header("all"))
    with pytest.raises(TooManyRequests) as raised:
        api_keys.authenticate(key_header("all"))
    assert raised.value.retry_after == 1


def test_a_public_route_is_anonymous_where_keys_are_required(locked: Path, no_caller: None) -> None:
    caller = api_keys.authenticate(key_header("all"), public=True)
    assert caller is api_keys.ANONYMOUS
    with pytest.raises(OutOfScope):
        api_keys.authorize("sentiment-en")


def test_without_keys_everyone_may_use_everything(serving: Path, no_caller: None) -> None:
    for public in (True, False):
        assert api_keys.authenticate({"x-api-key": "any"}, public=public) == api_keys.Caller()
        api_keys.authorize("sentiment-en")
    assert api_keys.allowed_models(["a", "b"]) == ["a", "b"]
    with api_keys.anonymous():
        assert api_keys.allowed_models(["a", "b"]) == ["a", "b"]


def test_an_anonymous_block_sees_no_models_and_then_the_caller_is_back(locked: Path, no_caller: None) -> None:
    api_keys.authenticate(key_header("words"))
    with pytest.raises(OutOfScope), api_keys.anonymous():
        api_keys.authorize("sentiment-en")
    assert api_keys.allowed_models(["sentiment-en", "resnet20-cifar10"]) == ["sentiment-en"]


def test_work_without_a_request_is_not_restricted(locked: Path, no_caller: None) -> None:
    api_keys.authorize("sentiment-en")
    assert api_keys.allowed_models(["b", "a"]) == ["b", "a"]
    assert api_keys.current_tenant() == ""
