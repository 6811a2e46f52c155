"""Every function under Lambda's emulator, invoked by every trigger of tests/events."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.events import HERE, event
from tests.events.inputs import HTTP_TRIGGERS, MODELS, UPLOADS, http_event_for, input_of, upload, upload_prefix
from tests.support.emulator import Emulator
from tests.support.layers import FUNCTIONS, SHARED
from tests.support.s3 import upload_folder

HOOK = "codedeploy-hook"  # of Release only: tests/functions/test_release.py
OTHERS = {HOOK, "ping", "golden", "direct", "s3-test-event", "step-functions-batch"}


SHARED_ONLY = {
    *("image_embeddings", "image_segmentation", "summarization", "tabular", "tensors", "text2text_generation"),
    "text_ranking",
}
"""Functions of tasks without a tiny model among `every_model`; tests/functions and tests/export import one for each."""


@pytest.fixture(scope="module")
def store(s3: Any, every_model: Path) -> dict[str, str]:
    """The setting of a store with every model."""
    upload_folder(s3, every_model, "triggers", "models/")
    return {"HEARTH_STORE": "s3://triggers/models"}


@pytest.fixture(scope="module", params=MODELS)
def function(request: pytest.FixtureRequest, environment: dict[str, str], store: dict[str, str]) -> Iterator[Emulator]:
    """One function; its tests share the execution environment, as invocations do."""
    settings = {"HEARTH_MODELS": MODELS[request.param], "HEARTH_UPLOAD_PREFIX": upload_prefix(request.param)}
    with Emulator.of(request.param, environment | store | settings, memory_mb=3008) as emulator:
        yield emulator


def test_every_event_file_is_sent_here() -> None:
    assert {path.stem for path in HERE.glob("*.json")} == {*HTTP_TRIGGERS, *UPLOADS, *OTHERS}


def test_every_function_is_woken_here() -> None:
    assert set(MODELS) == set(FUNCTIONS) - {"catalog", "release", SHARED} - SHARED_ONLY


def test_every_door_gets_the_same_answer(function: Emulator) -> None:
    bodies = []
    for door in HTTP_TRIGGERS:
        answer = function.invoke(http_event_for(door, function.code.name)).payload
        assert answer["statusCode"] == 200, (door, answer)
        bodies.append(answer["body"])
    assert len(set(map(str, bodies))) == 1


@pytest.mark.parametrize("trigger", UPLOADS)
def test_an_upload_becomes_a_result(function: Emulator, s3: Any, trigger: str) -> None:
    name = function.code.name
    key = f"{upload_prefix(name)}{MODELS[name]}/{trigger} é.bin"
    answer = function.invoke(upload(s3, trigger, key, input_of(name)))
    assert answer.payload == ({"batchItemFailures": []} if trigger.startswith("sqs") else {}), answer.raw
    written = s3.get_object(Bucket="results", Key=f"answers/{key}.json")["Body"].read()
    assert json.loads(written)["output"]


def test_a_batch_is_worked_off(function: Emulator, s3: Any) -> None:
    name = function.code.name
    key = f"batch/{MODELS[name]}/a film.bin"
    event = upload(s3, "step-functions-batch", key, input_of(name), model=MODELS[name], run="run-1")
    assert function.invoke(event).payload == {"done": 1, "failed": []}
    assert json.loads(s3.get_object(Bucket="results", Key=f"answers/run-1/{key}.json")["Body"].read())["output"]


def test_a_ping_loads_the_models(function: Emulator) -> None:
    response = function.invoke(event("ping")).payload
    assert response["pong"] is True
    ((model, version),) = response["models"].items()  # type: ignore[attr-defined]
    assert model == MODELS[function.code.name]
    assert version.isdecimal()


def test_golden_outputs_are_reproduced(function: Emulator) -> None:
    response = function.invoke(event("golden")).payload
    assert response["passed"] is True, response
    ((model, version),) = response["golden"].items()  # type: ignore[attr-defined]
    assert (model, version.isdecimal()) == (MODELS[function.code.name], True)


def test_the_test_event_of_s3_is_accepted(function: Emulator) -> None:
    assert function.invoke(event("s3-test-event")).payload == {}


def test_an_unknown_event_gets_an_error_that_lists_the_known_ones(function: Emulator) -> None:
    response = function.invoke(event("direct")).payload
    assert response["error_type"] == "bad_request"
    assert "HTTP events" in str(response["error"])


def test_the_shared_function_serves_every_task(environment: dict[str, str], store: dict[str, str], s3: Any) -> None:
    with Emulator.of(SHARED, environment | store, memory_mb=3008) as shared:
        for function in MODELS:
            answer = shared.invoke(http_event_for("rest-v1", function)).payload
            assert answer["statusCode"] == 200, (function, answer)
            key = f"{upload_prefix(function)}{MODELS[function]}/shared.bin"
            response = shared.invoke(upload(s3, "sqs-eventbridge", key, input_of(function)))
            assert response.payload == {"batchItemFailures": []}, response.raw
            assert json.loads(s3.get_object(Bucket="results", Key=f"answers/{key}.json")["Body"].read())["output"]


def test_the_catalog_answers_every_door(environment: dict[str, str], store: dict[str, str]) -> None:
    with Emulator.of("catalog", environment | store) as catalog:
        for door in HTTP_TRIGGERS:
            answer = catalog.invoke(event(door, path="/models", method="GET", body=""))
            assert answer.payload["statusCode"] == 200, (door, answer.raw)
            assert {model["name"] for model in answer.body["models"]} >= set(MODELS.values())  # type: ignore[attr-defined,index]
