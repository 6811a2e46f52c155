"""The doors: who is let in, for which models, how often; in every dialect, by every route, and on AWS by claims."""

from __future__ import annotations

import ast
import asyncio
import hashlib
import hmac
import json
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from hearth import settings
from hearth.auth import api_keys
from hearth.auth.api_keys import Entry, KeyTable
from hearth.auth.token_bucket import TokenBucket
from hearth.aws_lambda.handler import create_handler
from hearth.errors import OutOfScope, SettingsError, Unauthorized
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
from tests.runtime.aws_lambda.test_handler import CONTEXT, http_v2, rest
from tests.support import ROOT
from tests.support.artifacts import make_text_artifact

KEYS = {"words": "hearth_words", "pictures": "hearth_pictures", "all": "hearth_all", "slow": "hearth_slow"}
MODELS = {"words": "sentiment-en", "pictures": "resnet20-cifar10"}
TASK = {"sentiment-en": "text-classification", "resnet20-cifar10": "image-classification"}
BODY = {"sentiment-en": b'{"inputs": "good"}', "resnet20-cifar10": picture()}


def entry(name: str, models: list[str], **more: Any) -> dict[str, Any]:
    return {"name": name, "sha256": hashlib.sha256(KEYS[name].encode()).hexdigest(), "models": models, **more}


ENTRIES = [
    entry("words", ["sentiment-*"]),
    entry("pictures", ["resnet*"]),
    entry("all", ["*"]),
    entry("slow", ["*"], rate=0.001, burst=2),
]


@pytest.fixture
def locked(serving: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This process serves the store, to those with a key."""
    monkeypatch.setenv("HEARTH_API_KEYS", json.dumps(ENTRIES))
    settings.get.cache_clear()
    api_keys._read_table.cache_clear()
    return serving


@pytest.fixture
def client(locked: Path) -> Iterator[TestClient]:
    with TestClient(serve.app()) as client:
        yield client


def sent(name: str) -> dict[str, str]:
    return {"x-api-key": KEYS[name]}


CHAT = b'{"model": "x", "messages": [{"role": "user", "content": "a"}]}'
ROUTES = [(dialect, route) for dialect in protocols() for route in dialect.routes]
NAMED = [(dialect, route) for dialect, route in ROUTES if "{name}" in route.path]


def filled(route: Route, model: str) -> str:
    words = {"name": model, "version": "1", "task": TASK[model], "id": "x" * 22, "digest": "0", "file": "x"}
    return re.sub(r"{(\w+)(?::\w+)?}", lambda match: words.get(match[1], "x"), route.path)


@pytest.mark.parametrize("model", MODELS.values())
@pytest.mark.parametrize(
    ("dialect", "route"), NAMED, ids=[f"{dialect.name} {route.method} {route.path}" for dialect, route in NAMED]
)
def test_each_key_gets_its_own_models_by_every_route_and_no_other(
    client: TestClient, dialect: Any, route: Route, model: str
) -> None:
    whole = dialect.name in ("huggingface", "sagemaker")
    path, body = filled(route, model), BODY[model] if whole else CHAT if "/chat/" in route.path else b""
    for who, own in MODELS.items():
        answer = client.request(route.method, path, content=body, headers=sent(who))
        if own == model:
            assert answer.status_code not in (401, 403, 429), answer.text
            if route.method == "GET" or whole:
                assert answer.status_code == 200, answer.text
        else:
            assert answer.status_code == 403, answer.text
            assert MODELS[who] not in answer.text
    for headers in ({}, {"x-api-key": "hearth_wrong"}):
        assert client.request(route.method, path, content=body, headers=headers).status_code == 401


OPENAI = {
    "/v1/completions": {"prompt": "a"},
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "a"}]},
    "/v1/embeddings": {"input": "a"},
}


def test_models_that_a_body_or_a_header_names_are_bound_as_well(client: TestClient) -> None:
    for path, document in OPENAI.items():
        for model, status in (("sentiment-en", 404), ("sentiment-en@1", 404), ("resnet20-cifar10@1", 403)):
            answer = client.post(path, json={"model": model, **document}, headers=sent("words"))
            assert answer.status_code == status, answer.text  # 404: it is there, for another task
            assert answer.json()["error"]["type"] == ("permission_error" if status == 403 else "invalid_request_error")
    form = {"model": (None, "resnet20-cifar10"), "file": ("a.wav", b"RIFF")}
    assert client.post("/v1/audio/transcriptions", files=form, headers=sent("words")).status_code == 403
    for path in ("/invocations", "/endpoints/sentiment-en/invocations"):
        other = {**sent("words"), "X-Amzn-SageMaker-Target-Model": "resnet20-cifar10"}
        answer = client.post(path, content=picture(), headers=other)
        assert (answer.status_code, answer.json()["__type"]) == (403, "AccessDeniedException")
        assert client.post(path, content=BODY["sentiment-en"], headers=sent("words")).status_code == 200
    assert client.post("/invocations", content=BODY["sentiment-en"], headers=sent("all")).status_code == 400  # which?


def test_lists_have_the_callers_models_alone(client: TestClient) -> None:
    def names(who: str) -> tuple[list[str], ...]:
        def of(method: str, path: str) -> Any:
            return client.request(method, path, headers=sent(who)).json()

        return (
            [row["name"] for row in of("GET", "/models")["models"]],
            [row["id"] for row in of("GET", "/v1/models")["data"]],
            [name for name in of("GET", "/v2/models")["models"] if "-raw" not in name],
            [row["name"] for row in of("POST", "/v2/repository/index")],
            [row["name"] for row in of("GET", "/v2/models/stats")["model_stats"]],
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


def test_only_health_the_page_and_the_documentation_are_open(client: TestClient) -> None:
    opened = {route.path for dialect in protocols() for route in dialect.routes if route.public}
    assert {"/v2/health/live", "/v2/health/ready", "/ping"} <= opened
    for path in ("/v2/health/live", "/v2/health/ready", "/ping", "/", "/docs", "/openapi.json"):
        assert client.get(path).status_code == 200, path
    for dialect, route in ROUTES:
        if not route.public:
            answer = client.request(route.method, filled(route, "sentiment-en"))
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer"), route.path
            assert "sentiment-en" not in answer.text, (dialect.name, route.path)


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
def test_no_way_of_writing_a_path_leads_to_anothers_model(locked: Path, path: str) -> None:
    handler = create_handler((*text.TASKS, *image.TASKS))
    asked = path.replace("%2F", "/").replace("%2f", "/").replace("%40", "@").replace("%73", "s").replace("%2D", "-")
    local_app = TestClient(serve.app())
    for method, body in (("GET", b""), ("POST", b'{"inputs": "good"}')):
        heard = [local_app.request(method, path, content=body, headers=sent("pictures"))]
        answers = [(one.status_code, one.text) for one in heard]
        for written in {path, asked}:
            event = rest(written.partition("?")[0], body, method)
            event["multiValueHeaders"] |= {"X-Api-Key": [KEYS["pictures"]]}
            told = handler(event, CONTEXT)
            answers.append((told["statusCode"], told["body"]))
        for status, answer in answers:
            assert 400 <= status < 500 or "resnet20-cifar10" in answer, (method, path, status, answer)
            for secret in ('"positive"', '"negative"', "bert", "input_ids", "model.bin"):
                if "resnet20-cifar10" not in answer:
                    assert secret not in answer, (method, path, answer)


def test_a_scope_may_name_a_model_whose_own_name_ends_like_a_graphs(serving: Path) -> None:
    make_text_artifact(serving, model="words-raw")

    def meant(name: str, *scope: str) -> str:
        token = api_keys._caller.set(api_keys.Caller("t", scope))
        try:
            return find_target(Request((), path_params={"name": name})).resolved.ref.model
        finally:
            api_keys._caller.reset(token)

    assert meant("words-raw", "words-raw") == "words-raw"
    assert meant("sentiment-en-raw", "sentiment-en") == "sentiment-en"
    with pytest.raises(OutOfScope):
        meant("sentiment-en-raw", "words-raw")


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


def test_each_dialect_has_its_own_words(client: TestClient) -> None:
    asked = {
        "huggingface": "/models",
        "open_inference": "/v2/models",
        "openai": "/v1/models",
        "sagemaker": "/invocations",
    }
    told = {}
    for name, path in asked.items():
        for status, headers in ((401, {}), (429, sent("slow"))):
            for _ in range(4):
                answer = client.request("POST" if name == "sagemaker" else "GET", path, headers=headers)
                if answer.status_code == status:
                    break
            assert answer.status_code == status, answer.text
            if status == 429:
                assert re.fullmatch(r"[1-9]\d*", answer.headers["retry-after"])
                assert int(answer.headers["retry-after"]) <= 1000
            told[name, status] = answer
    assert told["huggingface", 401].json()["error_type"] == "unauthorized"
    assert told["huggingface", 429].json()["error_type"] == "too_many_requests"
    assert set(told["open_inference", 401].json()) == set(told["open_inference", 429].json()) == {"error"}
    assert told["openai", 401].json()["error"]["code"] == "invalid_api_key"
    assert told["openai", 429].json()["error"]["code"] == "rate_limit_exceeded"
    assert told["openai", 429].headers["x-should-retry"] == "true"
    assert told["sagemaker", 401].json()["__type"] == "AccessDeniedException"
    assert told["sagemaker", 429].json()["__type"] == "ThrottlingException"


def test_who_may_not_ask_is_told_so_before_the_body_is_read(locked: Path) -> None:
    """A body that never ends: an answer comes all the same."""
    received: list[str] = []

    async def receive() -> dict[str, Any]:
        received.append("asked")
        return {"type": "http.request", "body": b"x" * 1000, "more_body": True}

    async def ask(headers: list[tuple[bytes, bytes]]) -> int:
        told: list[int] = []

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                told.append(message["status"])

        scope = {"type": "http", "method": "POST", "path": "/models/sentiment-en", "headers": headers}
        scope |= {"query_string": b"", "http_version": "1.1", "scheme": "http", "server": ("x", 80), "root_path": ""}
        await serve.app()(scope, receive, send)
        return told[0]

    with closing(asyncio.new_event_loop()) as loop:  # asyncio.run would lose Mangum's
        assert loop.run_until_complete(ask([])) == 401
        assert loop.run_until_complete(ask([(b"x-api-key", b"wrong")])) == 401
        assert received == []
        assert loop.run_until_complete(ask([(b"x-api-key", KEYS["words"].encode())])) == 413  # the control: it is read
    assert len(received) > 1000


# Buckets


def test_fifty_threads_never_get_more_than_the_burst() -> None:
    for burst in (1, 7, 40):
        bucket, start = TokenBucket(1e-9, burst), threading.Barrier(50)

        def race(bucket: TokenBucket = bucket, start: threading.Barrier = start) -> int:
            start.wait()
            return sum(bucket.take() == 0 for _ in range(20))

        with ThreadPoolExecutor(50) as pool:
            got = sum(future.result() for future in [pool.submit(race) for _ in range(50)])
        assert got == burst


def test_fifty_requests_at_once_get_no_more_than_the_burst(client: TestClient) -> None:
    def ask(_: int) -> int:
        return client.get("/models/sentiment-en", headers=sent("slow")).status_code

    with ThreadPoolExecutor(50) as pool:
        statuses = list(pool.map(ask, range(50)))
    assert (statuses.count(200), statuses.count(429)) == (2, 48)
    assert client.get("/models/sentiment-en", headers=sent("all")).status_code == 200  # others do not pay for it


@given(
    st.floats(0.1, 50),
    st.integers(1, 20),
    st.lists(st.floats(0, 3, allow_nan=False), min_size=1, max_size=60),
)
def test_no_span_of_time_has_more_than_burst_and_rate_allow(rate: float, burst: int, pauses: list[float]) -> None:
    now = 0.0
    bucket = TokenBucket(rate, burst, lambda: now)
    taken = []
    for pause in pauses:
        now += pause
        if wait := bucket.take():
            assert wait <= 1 / rate + 1e-9
            now += wait + 1e-6
            assert bucket.take() == 0, "who waits as long as he was told is served"
        taken.append(now)
    for first in range(len(taken)):
        for last in range(first, len(taken)):
            assert last - first + 1 <= burst + rate * (taken[last] - taken[first]) + 1e-3


# The keys themselves


def test_every_entry_is_compared_whichever_key_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[Any] = []

    def counting(first: Any, second: Any, compare: Callable[[Any, Any], bool] = hmac.compare_digest) -> bool:
        compared.append((first, second))
        return compare(first, second)

    monkeypatch.setattr(hmac, "compare_digest", counting)
    table = KeyTable([Entry(**one) for one in ENTRIES])
    for key in KEYS.values():
        compared.clear()
        assert table.find(key)
        assert len(compared) == len(ENTRIES)
    compared.clear()
    with pytest.raises(Unauthorized):
        table.find("hearth_nothing")
    assert len(compared) == len(ENTRIES)
    assert not {key for key in KEYS.values() if key in repr(vars(table))}, "a key itself is kept nowhere"


SECRET = re.compile(r"secret|password|api_?key|credential|presented|kept|\bmac\b|hmac", re.IGNORECASE)


def compared_secrets(source: str) -> list[str]:
    """Comparisons by == and the like, in which a name is a secret's."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Compare) and any(
            isinstance(sign, (ast.Eq, ast.NotEq, ast.In, ast.NotIn)) for sign in node.ops
        ):
            names = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
            names |= {part.attr for part in ast.walk(node) if isinstance(part, ast.Attribute)}
            if any(SECRET.search(name) for name in names):
                found.append(ast.unparse(node))
    return found


def test_no_equals_sign_touches_a_secret() -> None:
    assert compared_secrets("if kept == presented: pass") == ["kept == presented"]
    assert compared_secrets("found = api_key in table") == ["api_key in table"]
    folders = (ROOT / "layers/runtime/python/hearth", ROOT / "functions", ROOT / "export")
    for path in (path for folder in folders for path in folder.rglob("*.py")):
        assert compared_secrets(path.read_text()) == [], path
    assert "hmac.compare_digest" in (ROOT / "layers/runtime/python/hearth/auth/api_keys.py").read_text()


BAD = [
    ("[{}]", "name"),
    ('[{"name": "a", "sha256": "00", "models": ["*"]}]', "sha256"),
    (json.dumps([ENTRIES[0] | {"models": []}]), "models"),
    (json.dumps([ENTRIES[0] | {"rate": -1}]), "rate"),
    (json.dumps([ENTRIES[0] | {"burst": 0}]), "burst"),
    (json.dumps([ENTRIES[0] | {"modles": []}]), "modles"),
    ("[", "JSON"),
    ("/nowhere/keys.json", "cannot be read"),
]


@pytest.mark.parametrize(("source", "words"), BAD)
def test_keys_that_cannot_be_read_let_nobody_in(
    serving: Path, monkeypatch: pytest.MonkeyPatch, source: str, words: str
) -> None:
    monkeypatch.setenv("HEARTH_API_KEYS", source)
    settings.get.cache_clear()
    with pytest.raises(SettingsError, match=words):
        api_keys.key_table()
    with pytest.raises(SettingsError, match="HEARTH_API_KEYS"):
        serve.app()  # the server says so when it starts
    told = create_handler(text.TASKS)(rest("/models/sentiment-en", BODY["sentiment-en"]), CONTEXT)
    assert (told["statusCode"], json.loads(told["body"])["error_type"]) == (500, "settings_error")


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_keys_may_lie_in_a_file(serving: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    (tmp_path / "keys.json").write_text(json.dumps(ENTRIES))
    monkeypatch.setenv("HEARTH_API_KEYS", f"{scheme}{tmp_path}/keys.json")
    settings.get.cache_clear()
    client = TestClient(serve.app())
    assert client.get("/models", headers=sent("words")).status_code == 200
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


@pytest.mark.parametrize(("told", "principal"), VERIFIED)
def test_on_aws_the_tenant_is_who_the_front_door_verified(
    serving: Path, capsys: pytest.CaptureFixture[str], told: dict[str, Any], principal: str | None
) -> None:
    event = rest("/models/sentiment-en", BODY["sentiment-en"])
    event["requestContext"] |= told
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


def test_jwt_and_iam_of_http_apis_and_function_urls(serving: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for told, principal in (
        ({"jwt": {"claims": {"sub": "u2"}}}, "jwt:u2"),
        ({"iam": {"userArn": "arn:aws:iam::1:role/r"}}, "iam:arn:aws:iam::1:role/r"),
    ):
        event = http_v2("/models/sentiment-en", BODY["sentiment-en"])
        event["requestContext"] |= {"authorizer": told}
        assert create_handler(text.TASKS)(event, CONTEXT)["statusCode"] == 200
        assert log_lines(capsys)[-1]["tenant"] == api_keys.tenant_hash(principal)


def test_a_function_with_keys_of_its_own_loads_nothing_for_who_has_none(
    locked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = []
    begin = preload.start_load
    monkeypatch.setattr(preload, "start_load", lambda name: threads.append(begin(name)))
    for who, status in ((None, 401), ("pictures", 403), ("words", 200)):
        event = rest("/models/sentiment-en", BODY["sentiment-en"])
        event["headers"] |= {"X-Api-Key": KEYS[who]} if who else {}
        event["multiValueHeaders"] |= {"X-Api-Key": [KEYS[who]]} if who else {}
        answer = create_handler(text.TASKS)(event, CONTEXT)  # a fresh handler loads ahead
        assert answer["statusCode"] == status, answer
        for thread in threads:
            thread.join()
        assert bool(warm_cache().loaded()) is (who == "words")
        assert bool(threads) is (who == "words")


def test_statistics_tell_nobody_what_others_asked(client: TestClient) -> None:
    def counted(who: str) -> int:
        told = client.get("/v2/models/sentiment-en/stats", headers=sent(who)).json()
        return int(told["model_stats"][0]["execution_count"])

    before = counted("words"), counted("all")
    for _ in range(3):
        client.post("/models/sentiment-en", content=BODY["sentiment-en"], headers=sent("words"))
    assert (counted("words"), counted("all")) == (before[0] + 3, before[1])
