"""Parameter Store's JSON protocol, with scripted responses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from hearth.aws import retry, ssm
from hearth.errors import StoreError
from tests.support.s3 import CREDENTIALS
from tests.support.servers import http_responses, scripted_server

VALUE = (200, b'{"Parameter": {"Value": "whsec_x"}}')


@pytest.fixture(autouse=True)
def patch(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(retry.time, "sleep", lambda seconds: None)
    yield monkeypatch
    ssm._endpoint.cache_clear()


@contextmanager
def parameters(patch: pytest.MonkeyPatch, *answers: tuple[int, bytes]) -> Iterator[list[bytes]]:
    """Parameter Store gives these responses, one a connection; yield the requests that it received."""
    with scripted_server(*http_responses(*answers)) as (address, received):
        patch.setenv("AWS_ENDPOINT_URL_SSM", address)
        ssm._endpoint.cache_clear()
        yield received


def test_a_parameter_is_read_decrypted_by_a_signed_request(patch: pytest.MonkeyPatch) -> None:
    with parameters(patch, VALUE) as received:
        assert ssm.get_parameter("/hearth/webhook") == "whsec_x"
    head, _, body = received[0].partition(b"\r\n\r\n")
    assert b"x-amz-target: AmazonSSM.GetParameter" in head
    assert b"/us-east-1/ssm/aws4_request" in head
    assert json.loads(body) == {"Name": "/hearth/webhook", "WithDecryption": True}


def test_a_throttled_request_is_tried_again(patch: pytest.MonkeyPatch) -> None:
    with parameters(patch, (400, b"ThrottlingException"), VALUE) as received:
        assert ssm.get_parameter("/hearth/webhook") == "whsec_x"
    assert len(received) == 2


def test_a_missing_parameter_is_an_error_that_names_it(patch: pytest.MonkeyPatch) -> None:
    with parameters(patch, (400, b"ParameterNotFound")), pytest.raises(StoreError, match="the parameter /a/b: check"):
        ssm.get_parameter("/a/b")
