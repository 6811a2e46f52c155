"""The end of a request: its lines, what they never hold, and what happens where they cannot be written."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from hearth import settings
from hearth.errors import BadRequest, Internal, StoreError, Unavailable
from hearth.telemetry import audit, log, statistics
from hearth.telemetry.timing import Timing, begin
from tests.conftest import log_lines


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    settings.get.cache_clear()
    statistics.clear()
    yield monkeypatch
    settings.get.cache_clear()


def finish(timing: Timing | None = None, **options: Any) -> None:
    log.finish_request(timing or begin(), **{"request_id": "r", "status": 200, "trigger": "http"} | options)


def test_a_line_has_the_fields_and_the_times(capsys: pytest.CaptureFixture[str]) -> None:
    timing = begin()
    timing.fields.update(model="m", version="1", items=2, cold=True)
    timing.steps["run"] = 1.23456
    finish(timing)
    (line,) = log_lines(capsys)
    expected = {"level": "INFO", "location": "finish_request", "message": "request", "service": "hearth"}
    expected |= {"request_id": "r", "trigger": "http", "model": "m", "version": "1"}
    assert expected.items() <= line.items()
    assert (line["status"], line["items"], line["cold"]) == (200, 2, True)
    assert line["ms"]["run"] == 1.235
    assert line["ms"]["total"] > 0
    assert line.keys().isdisjoint({"error", "reason", "dollars"})
    assert statistics.get_record("m", "1", "").success.count == 1


def test_only_errors_of_the_server_have_their_reason(capsys: pytest.CaptureFixture[str]) -> None:
    finish(status=400, failure=BadRequest("quotes the input"))
    finish(status=503, failure=StoreError("S3 is\naway"))
    refused, failed = log_lines(capsys)
    assert (refused["error"], "reason" in refused) == ("bad_request", False)
    assert (failed["error"], failed["reason"]) == ("store_error", "S3 is\\naway")


def test_a_failure_counts_as_one_in_the_statistics() -> None:
    timing = begin()
    timing.fields.update(model="m", version="1")
    finish(timing, status=500, failure=Internal("x"))
    assert statistics.get_record("m", "1", "").fail.count == 1


@pytest.mark.parametrize(("status", "errors"), [(200, 0.0), (499, 0.0), (500, 1.0), (503, 1.0)])
def test_on_lambda_there_are_metrics(
    plain: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], status: int, errors: float
) -> None:
    plain.setattr(log, "_function", lambda: "texts")
    timing = begin()
    timing.fields.update(model="m", version="1")
    finish(timing, status=status)
    finish(status=status)
    _, metrics, _, without_model = log_lines(capsys)
    assert (metrics["model"], metrics["version"], metrics["function"]) == ("m", "1", "texts")
    assert (metrics["Requests"], metrics["Errors"], metrics["ColdStart"]) == ([1.0], [errors], [0.0])
    assert without_model["model"] == "none"
    assert "version" not in without_model


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("plain ü 🙂", "plain ü 🙂"),
        ("a\nb\x1b[0m", "a\\nb\\x1b[0m"),
        ("\u202e\u2028", "\\u202e\\u2028"),
        ("x" * 500, "x" * 500),
        ("x" * 501, "x" * 500 + "…"),
        (5, 5),
        (None, None),
    ],
)
def test_texts_cannot_forge_or_flood_lines(value: object, shown: object) -> None:
    assert log.sanitize(value) == shown


def fail() -> None:
    raise ValueError("secret")


def test_an_unexpected_error_is_logged_without_its_message(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="secret") as raised:
        fail()
    error = log.as_hearth_error(raised.value)
    assert isinstance(error, Internal)
    assert "secret" not in error.message
    (line,) = log_lines(capsys)
    assert (line["level"], line["message"], line["exception_name"]) == ("ERROR", "unexpected", "ValueError")
    assert line["places"][-1].endswith(" fail")
    assert "secret" not in json.dumps(line)
    expected = BadRequest("x")
    assert log.as_hearth_error(expected) is expected


def test_work_has_its_own_timing_and_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert log.attempt(lambda: "answered", request_id="r", trigger="storage", tenant="t") is None
    (line,) = log_lines(capsys)
    assert (line["outcome"], line["trigger"], line["tenant"], line["status"]) == ("answered", "storage", "t", 200)
    assert "tenant" not in (log.attempt(lambda: "x", request_id="r", trigger="batch"), log_lines(capsys)[0])[1]


def test_an_error_of_work_is_returned_and_logged(capsys: pytest.CaptureFixture[str]) -> None:
    def refuse() -> str:
        raise StoreError("away")

    failure = log.attempt(refuse, request_id="r", trigger="batch")
    assert isinstance(failure, StoreError)
    (line,) = log_lines(capsys)
    assert (line["status"], line["error"], "outcome" in line) == (503, "store_error", False)
    unexpected = log.attempt(lambda: str(fail()), request_id="r", trigger="batch")
    assert isinstance(unexpected, Internal)
    with pytest.raises(SystemExit):
        log.attempt(lambda: str(exit_()), request_id="r", trigger="batch")


def exit_() -> None:
    raise SystemExit


@pytest.fixture
def full_disk(plain: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    plain.setattr(audit, "record", refuse)
    return plain


def test_a_success_without_an_audit_record_is_refused(
    full_disk: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(Unavailable, match="audit log cannot be written, so nothing is answered"):
        finish()
    assert [line["message"] for line in log_lines(capsys)] == ["audit record lost"]
    with pytest.raises(Unavailable):
        log.start_stream(begin(), request_id="r")
    failure = log.attempt(lambda: "answered", request_id="r", trigger="storage")
    assert isinstance(failure, Unavailable)


@pytest.mark.parametrize("options", [{"failure": BadRequest("x"), "status": 400}, {"is_sent": True}])
def test_what_cannot_be_refused_any_more_is_logged(
    full_disk: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], options: dict[str, Any]
) -> None:
    finish(**options)
    assert [line["message"] for line in log_lines(capsys)] == ["audit record lost", "request"]


def test_the_setting_says_to_continue(full_disk: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    full_disk.setenv("HEARTH_AUDIT_FAILURE", "continue")
    settings.get.cache_clear()
    finish()
    log.start_stream(begin(), request_id="r")
    assert [line["message"] for line in log_lines(capsys)] == ["audit record lost", "request", "audit record lost"]


def test_lines_that_cannot_be_written_are_lost(plain: pytest.MonkeyPatch) -> None:
    def broken(*_: str) -> None:
        raise BrokenPipeError

    plain.setattr(log.HANDLER, "write", broken)
    finish()


def test_libraries_log_nothing_about_requests() -> None:
    for name in ("PIL", "mangum"):
        assert not logging.getLogger(name).isEnabledFor(logging.CRITICAL)
    assert not logging.raiseExceptions
