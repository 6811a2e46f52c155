"""The types of protocols."""

from __future__ import annotations

from pathlib import Path

import pytest

from hearth.errors import BadRequest, NotFound
from hearth.models.cache import warm_cache
from hearth.protocols import base
from hearth.protocols.base import Request, Response, Route, named_model, server_sent_event
from hearth.protocols.router import load
from hearth_functions.text_classification import app as text
from tests.support.structs import mutable_structs


def test_a_request_opens_its_model_by_name_or_resolved(serving: Path) -> None:
    for model in ("sentiment-en", warm_cache().resolve("sentiment-en@prod")):
        request = Request(text.TASKS)
        task, opened = request.open_model(model)
        assert task.id == "text-classification"
        assert request.lease is not None
        assert request.lease.model is opened
        assert opened.manifest.version == "1"
        request.lease.close()


def test_a_task_that_the_model_does_not_have_is_not_found(serving: Path) -> None:
    request = Request(text.TASKS)
    with pytest.raises(NotFound):
        request.open_model("sentiment-en", "translation")
    assert request.lease is None


def test_the_defaults_of_requests_responses_and_routes() -> None:
    request = Request(())
    assert (request.body, request.request_id, request.lease) == (b"", "", None)
    assert (request.path_params, request.query, request.headers) == ({}, {}, {})
    response = Response(b"{}")
    assert (response.media_type, response.headers, response.status, response.usage) == (
        "application/json",
        {},
        200,
        None,
    )
    route = Route("GET", "/x", lambda _: response, "x", "X")
    assert (route.body_optional, route.is_immediate, route.public) == (False, False, False)
    assert (route.responses, route.model_name, route.request_media_types) == ({}, None, ())
    assert load("huggingface").error_headers(BadRequest("x")) == {}


def test_a_path_names_the_model() -> None:
    assert named_model({"name": "m@1", "task": "t"}) == "m@1"


def test_an_event_is_one_line_of_data() -> None:
    assert server_sent_event(b"{}") == b"data: {}\n\n"


def test_only_a_request_is_changed_on_its_way() -> None:
    assert mutable_structs(base) == {"Request"}
