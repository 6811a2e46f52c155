"""Trace contexts are read and passed on; spans reach an OTLP receiver; all records of a request agree."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from hearth import settings
from hearth.errors import SettingsError
from hearth.http.asgi import create_app
from hearth.telemetry import otlp, statistics, tracing
from hearth.telemetry.timing import begin
from hearth_functions.text_classification import app
from tests.conftest import log_lines
from tests.support.otlp_receiver import Receiver, attributes
from tests.support.requests import rest_event

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
HEADER = {"traceparent": f"00-{TRACE}-{PARENT}-01"}


@pytest.fixture
def receiver(serving: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    with Receiver() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20secret")
        monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
        monkeypatch.setenv("HEARTH_AUDIT", (tmp_path / "audit.jsonl").as_uri())
        monkeypatch.setattr(otlp, "SECONDS", 0.05)
        settings.get.cache_clear()
        otlp.exporter.cache_clear()
        statistics.clear()
        yield receiver
        otlp.exporter.cache_clear()


def spans_after(client: TestClient, receiver: Receiver, **options: Any) -> tuple[Any, dict[str, Any]]:
    response = client.post("/models/sentiment-en", json={"inputs": "a good film"}, **options)
    tracing.flush()
    return response, {span.name: span for span in receiver.spans}


def test_a_request_is_the_child_of_its_caller_and_has_its_steps(receiver: Receiver) -> None:
    client = TestClient(create_app(app.TASKS, local=True))
    response, spans = spans_after(client, receiver, headers=HEADER)
    server = spans["POST /models/{name}"]
    assert (server.trace_id.hex(), server.parent_span_id.hex(), server.kind) == (TRACE, PARENT, 2)
    assert response.headers["traceresponse"] == f"00-{TRACE}-{server.span_id.hex()}-01"
    assert {"resolve", "fetch", "load", "encode", "run", "decode"} <= set(spans)
    for name, span in spans.items():
        assert span.trace_id.hex() == TRACE
        assert server.start_time_unix_nano <= span.start_time_unix_nano + 10_000
        assert span.end_time_unix_nano <= server.end_time_unix_nano + 10_000
        if name != server.name:
            assert span.parent_span_id == server.span_id
    assert receiver.headers["authorization"] == "Bearer secret"
    assert receiver.resource["deployment.environment.name"] == "test"
    assert receiver.resource["service.name"] == "hearth"


def test_audit_record_log_line_metrics_and_trace_agree(
    receiver: Receiver, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    client = TestClient(create_app(app.TASKS, local=True))
    response, spans = spans_after(client, receiver, headers=HEADER)
    span = spans["POST /models/{name}"]
    traced = attributes(span)
    (line,) = [line for line in log_lines(capsys) if line["message"] == "request"]
    record = json.loads((tmp_path / "audit.jsonl").read_text().splitlines()[0])["audit"]
    request_id = response.headers["x-request-id"]
    assert request_id == line["request_id"] == record["request_id"] == traced["hearth.request_id"]
    assert span.trace_id.hex() == line["trace_id"] == record["trace_id"]
    assert span.span_id.hex() == line["span_id"]
    assert line["ms"]["total"] == record["ms"]
    assert (span.end_time_unix_nano - span.start_time_unix_nano) / 1e6 == pytest.approx(record["ms"], abs=0.002)
    for name in ("model", "version"):
        assert line[name] == record[name] == traced[f"hearth.{name}"]
    assert line["status"] == record["status"] == traced["http.response.status_code"] == 200
    assert line["input_tokens"] == traced["hearth.input_tokens"]
    metrics = client.get("/metrics").text
    labels = 'model="sentiment-en",version="1"'
    assert f'hearth_tokens_total{{{labels},direction="input"}} {line["input_tokens"]}' in metrics
    seconds = float(metrics.split(f"hearth_request_duration_seconds_sum{{{labels}}} ")[1].split()[0])
    assert seconds * 1000 >= record["ms"]
    assert seconds * 1000 == pytest.approx(record["ms"], abs=5)


def test_a_lambda_exports_before_it_answers_and_continues_xray(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "shared")
    monkeypatch.setenv("_X_AMZN_TRACE_ID", "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1")
    settings.get.cache_clear()
    app.handler(rest_event("POST", "/models/sentiment-en", json.dumps({"inputs": "bad"})), None)
    spans = {span.name: span for span in receiver.spans}
    server = spans["POST /models/{name}"]
    assert server.trace_id.hex() == "5759e988bd862e3fe1be46a994272793"
    assert server.parent_span_id.hex() == "53995c3f42cd8ad8"
    assert receiver.resource["service.name"] == "shared"


def test_an_error_is_in_its_span_and_an_unsampled_trace_is_not_exported(receiver: Receiver) -> None:
    client = TestClient(create_app(app.TASKS, local=True))
    client.post("/models/none", json={"inputs": "x"})
    unsampled = client.post(
        "/models/none", json={"inputs": "x"}, headers={"traceparent": HEADER["traceparent"][:-1] + "0"}
    )
    tracing.flush()
    (span,) = [span for span in receiver.spans if span.kind == 2]
    assert attributes(span)["error.type"] == "not_found"
    assert "x-request-id" in unsampled.headers


def test_spans_of_a_receiver_that_is_gone_are_lost_and_reported_once(
    serving: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = otlp.Exporter("http://127.0.0.1:9/v1/traces", {}, {}, waits=True)
    timing = begin()
    timing.trace, timing.spans = tracing.Trace("0" * 31 + "1", "0" * 15 + "1"), []
    for _ in range(2):
        gone.export(timing, 1.0, {}, 200)
    assert [line["message"] for line in log_lines(capsys)] == ["spans not exported"]


def test_a_generation_has_the_attributes_of_generative_ai() -> None:
    timing = begin()
    timing.trace, timing.spans = tracing.Trace("a" * 32, "b" * 16), [("encode", 1.0, 2.0)]
    timing.method, timing.route = "POST", "/v1/chat/completions"
    timing.fields |= {"model": "gpt", "version": "2", "input_tokens": 7, "output_tokens": 9, "finish_reason": "length"}
    timing.steps["first"] = 120.0
    generation = otlp.spans_of(timing, 500.0, {}, 200)[1]
    values = {item["key"]: next(iter(item["value"].values())) for item in generation["attributes"]}
    assert generation["name"] == "chat gpt"
    assert values["gen_ai.operation.name"] == "chat"
    assert (values["gen_ai.request.model"], values["gen_ai.response.model"]) == ("gpt", "gpt@2")
    assert (values["gen_ai.usage.input_tokens"], values["gen_ai.usage.output_tokens"]) == ("7", "9")
    assert values["gen_ai.server.time_to_first_token"] == 0.12
    assert values["gen_ai.response.finish_reasons"] == {"values": [{"stringValue": "length"}]}


@pytest.mark.parametrize(
    ("header", "is_valid"),
    [
        (f"00-{TRACE}-{PARENT}-00", True),
        (f"cc-{TRACE}-{PARENT}-01-what-the-future-brings", True),
        (f"ff-{TRACE}-{PARENT}-01", False),
        (f"00-{'0' * 32}-{PARENT}-01", False),
        (f"00-{TRACE}-{'0' * 16}-01", False),
        (f"00-{TRACE.upper()}-{PARENT}-01", False),
        ("", False),
        ("x" * 10_000, False),
    ],
)
def test_trace_contexts_follow_the_recommendation(serving: Path, header: str, is_valid: bool) -> None:
    timing = begin()
    tracing.begin_trace(timing, {"traceparent": header})
    assert (timing.trace is not None) == is_valid
    assert timing.spans is None  # without an endpoint
    if timing.trace:
        assert timing.trace.trace_id == TRACE
        assert timing.trace.is_sampled == ("-01" in header)


def test_settings_name_a_wrong_endpoint() -> None:
    assert settings.read({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318/"}).otlp_endpoint == "http://c:4318/v1/traces"
    assert settings.read({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c/t"}).otlp_endpoint == "http://c/t"
    disabled = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_SDK_DISABLED": "true"}
    assert settings.read(disabled).otlp_endpoint == ""
    with pytest.raises(SettingsError, match="OTEL_EXPORTER_OTLP_ENDPOINT"):
        settings.read({"OTEL_EXPORTER_OTLP_ENDPOINT": "localhost:4318"})
    with pytest.raises(SettingsError, match="OTEL_EXPORTER_OTLP_HEADERS"):
        settings.read({"OTEL_EXPORTER_OTLP_HEADERS": "secret"})
