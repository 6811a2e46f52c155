"""API keys: who may call which models and how often, in every protocol and route, and on AWS by claims."""

from __future__ import annotations

import ast
import hmac
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from hearth import settings
from hearth.auth import api_keys
from hearth.auth.api_keys import Entry, KeyTable
from hearth.aws_lambda.handler import create_handler
from hearth.errors import OutOfScope, SettingsError, TooManyRequests, Unauthorized
from hearth_build.cli import serve
from hearth_functions.text_classification import app as text
from tests.conftest import log_lines
from tests.runtime.aws_lambda.test_handler import CONTEXT, http_v2_event, rest_v1_event
from tests.support import ROOT
from tests.support.api_keys import ENTRIES, KEYS, entry, key_header
from tests.support.pictures import picture

BODY = {"sentiment-en": b'{"inputs": "good"}', "resnet20-cifar10": picture()}


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


@pytest.mark.slow
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
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_keys_may_be_in_a_file(
    serving: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str, encoding: str
) -> None:
    (tmp_path / "keys.json").write_text(json.dumps(ENTRIES), encoding=encoding)
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


@pytest.mark.parametrize("scheme", ["Basic", "AWS4-HMAC-SHA256", "Token", "", "Bearerx"])
def test_only_a_bearer_token_is_a_key(locked: Path, no_caller: None, scheme: str) -> None:
    with pytest.raises(Unauthorized, match="Send an API key"):
        api_keys.authenticate({"authorization": f"{scheme} {KEYS['words']}"})
    for name in ("Bearer", "bearer", "BEARER"):
        assert api_keys.authenticate({"authorization": f"{name}  {KEYS['words']} "}).models == ("sentiment-*",)
