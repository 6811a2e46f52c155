"""The OpenAPI document: one path per model and route, schemas that generators understand, and only what a caller may
use."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hearth import __version__, errors, settings
from hearth.auth import api_keys
from hearth.http import openapi
from hearth.http.openapi import STATUSES, Schemas, document
from hearth.protocols.base import JSON
from hearth.protocols.router import load, protocols
from hearth_build.cli.serve import tasks
from hearth_functions.text_classification import app as text


@pytest.fixture(autouse=True)
def no_caller() -> Iterator[None]:
    token = api_keys._caller.set(None)
    yield
    api_keys._caller.reset(token)


@pytest.fixture
def whole(serving: Path) -> dict[str, Any]:
    return document("Title", "Text", protocols(), tasks())


def operations(paths: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in paths.items():
        for method, operation in methods.items():
            yield path, method, operation


def test_the_document_has_every_route_once(whole: dict[str, Any]) -> None:
    assert whole["openapi"] == "3.1.0"
    assert whole["info"] == {"title": "Title", "version": __version__, "description": "Text"}
    described = {(path, method) for path, method, _ in operations(whole["paths"])}
    assert {(route.path, route.method.lower()) for protocol in protocols() for route in protocol.routes} <= described
    ids = [operation["operationId"] for *_, operation in operations(whole["paths"])]
    assert len(set(ids)) == len(ids)
    assert "security" not in whole
    assert "securitySchemes" not in whole["components"]


def test_every_reference_has_its_schema(whole: dict[str, Any]) -> None:
    json.dumps(whole)
    names = {part.partition('"')[0] for part in json.dumps(whole).split('"#/components/schemas/')[1:]}
    assert names <= whole["components"]["schemas"].keys()
    assert all(schema["title"] == name for name, schema in whole["components"]["schemas"].items())


def test_a_route_describes_parameters_body_and_errors(whole: dict[str, Any]) -> None:
    operation = whole["paths"]["/pipeline/{task}/{name}"]["post"]
    path_parameter = {"in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
    assert operation["parameters"] == [
        {"name": "task", **path_parameter},
        {"name": "name", **path_parameter},
        openapi.CONTENT_ENCODING,
    ]
    assert operation["requestBody"]["required"] is True
    assert operation["tags"] == [load("huggingface").title]
    assert operation["responses"].keys() == {"200", *map(str, STATUSES)}
    assert operation["responses"]["404"]["description"] == STATUSES[404]
    assert JSON in operation["responses"]["404"]["content"]
    assert operation["responses"]["200"]["description"] == "Successful response"


def test_every_status_of_an_error_is_described() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.HearthError)]
    local = {408, 504}  # only the local server and deadlines
    assert set(STATUSES) == {kind.status for kind in kinds} - local


def test_a_route_without_a_body_has_none(whole: dict[str, Any]) -> None:
    catalogue = whole["paths"]["/models"]["get"]
    assert "requestBody" not in catalogue
    assert [(item["name"], item["in"]) for item in catalogue["parameters"]] == [("limit", "query"), ("after", "query")]
    optional = [
        route for protocol in protocols() for route in protocol.routes if route.body_optional and route.request_schema
    ]
    for route in optional:
        assert whole["paths"][route.path][route.method.lower()]["requestBody"]["required"] is False


def test_a_model_has_its_own_path_with_an_example(whole: dict[str, Any]) -> None:
    operation = whole["paths"]["/models/sentiment-en"]["post"]
    assert operation["operationId"] == "infer_sentiment-en"
    assert operation["summary"] == "Run text-classification with sentiment-en"
    content = operation["requestBody"]["content"]
    assert content.keys() == {JSON}
    assert content[JSON]["example"] == text.TASKS[0].example
    assert content[JSON]["schema"] == {"$ref": "#/components/schemas/TextClassificationRequest"}
    pictures = whole["paths"]["/models/resnet20-cifar10"]["post"]["requestBody"]["content"]
    assert pictures.keys() == {JSON, "application/octet-stream"}
    assert pictures["application/octet-stream"] == {"schema": {"type": "string", "format": "binary"}}


def test_models_of_tasks_that_are_not_served_have_no_path(serving: Path) -> None:
    paths = document("T", "D", protocols(), text.TASKS)["paths"]
    assert "/models/sentiment-en" in paths
    assert "/models/resnet20-cifar10" not in paths


def test_keys_are_described_where_they_are_required(serving: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = {"name": "a", "sha256": "0" * 64, "models": ["sentiment-*"]}
    monkeypatch.setenv("HEARTH_API_KEYS", json.dumps([entry]))
    settings.get.cache_clear()
    with api_keys.anonymous():
        locked = document("T", "D", protocols(), tasks())
    assert locked["security"] == [{"key": []}, {"bearer": []}]
    assert locked["components"]["securitySchemes"]["key"] == {"type": "apiKey", "in": "header", "name": "x-api-key"}
    assert locked["components"]["securitySchemes"]["bearer"] == {"type": "http", "scheme": "bearer"}
    assert "/models/sentiment-en" not in locked["paths"]
    public = [(route.path, route.method.lower()) for p in protocols() for route in p.routes if route.public]
    for path, method, operation in operations(locked["paths"]):
        assert (operation.get("security") == []) is ((path, method) in public)


def test_events_of_a_stream_have_no_schema_and_other_media_are_binary() -> None:
    content = Schemas().content(None, ("text/event-stream", "audio/wav"))
    assert content == {"text/event-stream": {}, "audio/wav": {"schema": {"type": "string", "format": "binary"}}}
    assert Schemas().content(None) == {}


class Pair(msgspec.Struct):
    both: tuple[int, int]
    mixed: tuple[int, str]
    free: list[Any]
    flag: bool


def test_schemas_are_such_as_generators_understand() -> None:
    schemas = Schemas()
    assert schemas.content(Pair, prefix="My") == {JSON: {"schema": {"$ref": "#/components/schemas/MyPair"}}}
    component = schemas.components["MyPair"]
    assert component["title"] == "MyPair"
    both, mixed = component["properties"]["both"], component["properties"]["mixed"]
    assert both == {"type": "array", "minItems": 2, "maxItems": 2, "items": {"type": "integer"}}
    assert mixed["items"] == {"anyOf": [{"type": "integer"}, {"type": "string"}]}
    assert component["properties"]["free"]["items"] == {}
    assert openapi._for_generators({"enum": [True]}) == {"type": "boolean"}
    assert openapi._for_generators({"enum": [True, "auto"]}) == {"enum": [True, "auto"]}
    assert openapi._for_generators({"anyOf": [{"enum": [False, True]}]}) == {"anyOf": [{"type": "boolean"}]}


def test_two_types_of_one_name_are_refused() -> None:
    schemas = Schemas()
    schemas.content(Pair)
    schemas.content(Pair)
    other = msgspec.defstruct("Pair", [("x", int)])
    with pytest.raises(ValueError, match="Two types would have the name Pair in the OpenAPI document"):
        schemas.content(other)
