"""SageMaker's routes: endpoints with variants, a container's invocations, and errors as the SDKs read them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hearth.errors import (
    BadRequest,
    Forbidden,
    HearthError,
    Internal,
    NotFound,
    OutOfScope,
    StoreError,
    TooManyRequests,
    Unauthorized,
)
from hearth.protocols.base import Request, Response
from hearth.protocols.sagemaker import (
    INVOKED_VARIANT,
    PROTOCOL,
    TARGET_MODEL,
    TARGET_VARIANT,
    encode_error,
    invoke_container,
    invoke_endpoint,
    ping,
)
from hearth_functions.text_classification import app as text
from tests.conftest import set_alias
from tests.support.artifacts import make_text_artifact


def request(name: str = "", **headers: str) -> Request:
    names = {"target": TARGET_MODEL, "variant": TARGET_VARIANT}
    return Request(
        text.TASKS,
        b'{"inputs": "good"}',
        path_params={"name": name} if name else {},
        headers={names[key]: value for key, value in headers.items()},
    )


def version(response: Response) -> str:
    assert isinstance(response.body, bytes)
    assert json.loads(response.body)[0][0]["label"] == "positive"
    return response.headers[INVOKED_VARIANT]


@pytest.fixture
def two_versions(serving: Path) -> Path:
    make_text_artifact(serving, version="2")
    set_alias(serving, "sentiment-en", "2")
    return serving


def test_an_endpoint_is_a_model_and_a_variant_its_version(two_versions: Path) -> None:
    assert version(invoke_endpoint(request("sentiment-en"))) == "2"
    assert version(invoke_endpoint(request("sentiment-en", variant="1"))) == "1"
    assert version(invoke_endpoint(request("sentiment-en", variant="prod"))) == "2"
    assert version(invoke_endpoint(request("any", target="sentiment-en"))) == "2"
    assert version(invoke_endpoint(request("any", target="sentiment-en", variant="1"))) == "1"
    with pytest.raises(NotFound):
        invoke_endpoint(request("none"))


def test_a_container_serves_its_only_model(serving: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadRequest, match="2 models are served here: name one in the header X-Amzn-SageMaker-Target-M"):
        invoke_container(request())
    assert version(invoke_container(request(target="sentiment-en"))) == "1"
    for path in sorted((serving / "resnet20-cifar10").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    assert version(invoke_container(request())) == "1"


def test_ping_is_empty_and_public() -> None:
    assert ping(request()).body == b"{}"
    (route,) = (route for route in PROTOCOL.routes if route.path == "/ping")
    assert route.public
    assert route.is_immediate
    assert [route.path for route in PROTOCOL.routes if route.public] == ["/ping"]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (BadRequest("x"), "ValidationError"),
        (NotFound("x"), "ValidationError"),
        (Forbidden("x"), "ValidationError"),
        (OutOfScope("x"), "AccessDeniedException"),
        (Unauthorized("x"), "AccessDeniedException"),
        (TooManyRequests("x"), "ThrottlingException"),
        (StoreError("x"), "ServiceUnavailable"),
        (Internal("x"), "InternalFailure"),
    ],
)
def test_an_error_has_the_type_that_the_sdks_read(error: HearthError, kind: str) -> None:
    document: Any = json.loads(encode_error(error, "request-1"))
    assert document == {"__type": kind, "message": "x"}
