"""OpenAI's error bodies, refused fields, and the field that an error is about."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from hearth.errors import (
    BadRequest,
    DeadlineExceeded,
    Forbidden,
    HearthError,
    Internal,
    NotFound,
    OutOfScope,
    PayloadTooLarge,
    StoreError,
    TooManyRequests,
    Unauthorized,
    Unavailable,
)
from hearth.protocols.base import Request
from hearth.protocols.openai.common import (
    encode_error,
    error_headers,
    open_model,
    read,
    renamed_fields,
    with_param,
)


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (BadRequest("x"), "invalid_request_error", "invalid_value"),
        (NotFound("x", param="model"), "invalid_request_error", "model_not_found"),
        (NotFound("x"), "invalid_request_error", "not_found"),
        (Forbidden("x"), "permission_error", "forbidden"),
        (OutOfScope("x"), "permission_error", "forbidden"),
        (Unauthorized("x"), "invalid_request_error", "invalid_api_key"),
        (TooManyRequests("x"), "rate_limit_error", "rate_limit_exceeded"),
        (PayloadTooLarge("too many tokens"), "invalid_request_error", "payload_too_large"),
        (PayloadTooLarge("too many bytes"), "invalid_request_error", "payload_too_large"),
        (StoreError("x"), "server_error", "store_error"),
        (Internal("x"), "server_error", "internal"),
    ],
)
def test_an_error_has_openais_type_and_code(error: HearthError, kind: str, code: str) -> None:
    document = json.loads(encode_error(error, "request-1"))
    assert document == {"error": {"message": error.message, "type": kind, "param": error.param, "code": code}}


def test_a_client_is_told_whether_to_try_again() -> None:
    for error in (Unavailable("x"), StoreError("x"), TooManyRequests("x")):
        assert error_headers(error) == {"x-should-retry": "true"}
    for other in (BadRequest("x"), Internal("x"), DeadlineExceeded("x"), Unauthorized("x")):
        assert error_headers(other) == {"x-should-retry": "false"}


class Document(msgspec.Struct, forbid_unknown_fields=True):
    model: str
    user: str = ""


REFUSED: dict[str, Any] = {"tools": ([],), "store": (False,), "audio": ()}


def request(document: Any) -> Request:
    return Request((), json.dumps(document).encode())


def test_refused_fields_may_have_their_neutral_values() -> None:
    body = {"model": "m", "tools": [], "store": False, "audio": None, "user": None}
    assert read(request(body), Document, REFUSED) == Document("m")
    for name, value in (("tools", [1]), ("store", True), ("audio", {})):
        with pytest.raises(BadRequest, match=f"supports this value of `{name}`; leave it out") as raised:
            read(request(body | {name: value}), Document, REFUSED)
        assert raised.value.param == name


@pytest.mark.parametrize("document", [[], "x", {"model": 5}])
def test_other_documents_are_refused(document: Any) -> None:
    with pytest.raises(BadRequest):
        read(request(document), Document, REFUSED)


def test_an_error_about_the_model_names_the_field(serving: object) -> None:
    with pytest.raises(NotFound, match="no model none here") as raised:
        open_model(Request(()), "none", "text-generation")
    assert raised.value.param == "model"


def test_an_error_keeps_its_class_and_its_wait() -> None:
    error = with_param(TooManyRequests("x", retry_after=7), "file")
    assert (type(error), error.message, error.retry_after, error.param) == (TooManyRequests, "x", 7, "file")


@pytest.mark.parametrize(
    ("message", "param", "new_message", "new_param"),
    [
        (
            "`parameters.max_new_tokens` is too large",
            "parameters.max_new_tokens",
            "`max_tokens` is too large",
            "max_tokens",
        ),
        ("`max_new_tokens` is", "max_new_tokens", "`max_tokens` is", "max_tokens"),
        ("`inputs` is empty", "inputs", "`prompt` is empty", "prompt"),
        ("`parameters.top_p` is", "parameters.top_p", "`top_p` is", "top_p"),
        ("no field", None, "no field", None),
    ],
)
def test_fields_are_renamed_to_openais(
    message: str, param: str | None, new_message: str, new_param: str | None
) -> None:
    names = {"inputs": "prompt", "max_new_tokens": "max_tokens"}
    with pytest.raises(PayloadTooLarge) as raised, renamed_fields(names):
        raise PayloadTooLarge(message, param=param, retry_after=3)
    assert (raised.value.message, raised.value.param, raised.value.retry_after) == (new_message, new_param, 3)
    with renamed_fields(names):
        pass
