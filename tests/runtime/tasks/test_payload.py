"""A task's request from a body or from an uploaded object."""

from __future__ import annotations

import base64
import codecs
import json
from typing import Any

import msgspec
import pytest

from hearth.errors import BadRequest
from hearth.tasks.payload import read_body, read_object
from hearth.tasks.task import Prediction, Task, Usage
from hearth_functions.image_classification.app import TASKS as IMAGE_TASKS
from hearth_functions.text_classification.app import TASKS as TEXT_TASKS
from tests.support.pictures import picture


class Parameters(msgspec.Struct, forbid_unknown_fields=True):
    top_k: int | None = None
    threshold: float | None = None
    annotate: bool = False
    name: str = ""


class Request(msgspec.Struct, forbid_unknown_fields=True):
    inputs: Any
    parameters: Parameters = msgspec.field(default_factory=Parameters)


class TextRequest(msgspec.Struct, forbid_unknown_fields=True):
    inputs: str
    parameters: Parameters = msgspec.field(default_factory=Parameters)


def predict(model: Any, request: Any) -> Prediction:
    return Prediction(None, Usage())


TEXT = Task("text-classification", TextRequest, Any, predict, {})
IMAGE = Task("image-classification", Request, Any, predict, {})


def test_json_is_read_for_every_task() -> None:
    body = b' {"inputs": "x", "parameters": {"top_k": 1}}'
    assert read_body(TEXT, body, {}) == TextRequest("x", Parameters(top_k=1))
    assert read_object(TEXT, body) == TextRequest("x", Parameters(top_k=1))
    assert read_body(IMAGE, body.replace(b'"x"', b'"eA=="'), {}).parameters.top_k == 1


def test_binary_tasks_take_the_input_itself_with_parameters_in_the_query() -> None:
    query = {"top_k": "3", "threshold": "-0.5", "annotate": "true", "name": "x"}
    request = read_body(IMAGE, b"\x89PNG", query)
    assert request == Request(b"\x89PNG", Parameters(3, -0.5, True, "x"))
    assert read_body(IMAGE, b"\x89PNG", {"annotate": "false"}).parameters.annotate is False
    assert read_object(IMAGE, b"\x89PNG", {"parameters": {"top_k": 2}}).parameters.top_k == 2


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"top_k": "1.0"}, "parameters.top_k"),
        ({"top_k": "٣"}, "parameters.top_k"),
        ({"top_k": "1" * 10}, "parameters.top_k"),
        ({"annotate": "True"}, "parameters.annotate"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_wrong_parameter_of_the_query_is_named(query: dict[str, str], message: str) -> None:
    with pytest.raises(BadRequest, match=message):
        read_body(IMAGE, b"\x89PNG", query)


def test_an_empty_body_says_what_to_send() -> None:
    with pytest.raises(BadRequest, match=r'send \{"inputs": …\}$'):
        read_body(TEXT, b"", {})
    with pytest.raises(BadRequest, match=r'send \{"inputs": …\} or the bytes themselves'):
        read_body(IMAGE, b"", {})


def test_a_query_beside_json_is_refused() -> None:
    for task in (TEXT, IMAGE):
        with pytest.raises(BadRequest, match="send parameters in `parameters`, not in the query string"):
            read_body(task, b'{"inputs": "x"}', {"top_k": "1"})


def test_an_object_of_a_text_task_is_the_text() -> None:
    assert read_object(TEXT, "ü".encode()) == TextRequest("ü")
    assert read_object(TEXT, b"x", {"parameters": {"top_k": 1}}) == TextRequest("x", Parameters(top_k=1))
    with pytest.raises(BadRequest, match="must be text in UTF-8, or JSON with `inputs`"):
        read_object(TEXT, b"\xff")
    overridden = read_object(TEXT, b'{"inputs": "x", "parameters": {"top_k": 1}}', {"parameters": {"top_k": 9}})
    assert overridden.parameters.top_k == 9


CLASSIFICATION, PICTURES = TEXT_TASKS[0], IMAGE_TASKS[0]


@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8])
def test_a_byte_order_mark_means_nothing(mark: bytes) -> None:
    body = mark + b'{"inputs": "good"}'
    assert read_body(CLASSIFICATION, body, {}).inputs == "good"
    assert read_object(CLASSIFICATION, body).inputs == "good"
    assert read_object(CLASSIFICATION, mark + "schön".encode()).inputs == "schön"
    file = base64.b64encode(picture()).decode()
    assert read_body(PICTURES, mark + json.dumps({"inputs": file}).encode(), {}).inputs == picture()


def test_an_uploaded_text_may_be_utf_16() -> None:
    assert read_object(CLASSIFICATION, "schön".encode("utf-16")).inputs == "schön"


def test_data_urls_are_read_alone_and_in_lists() -> None:
    url = f"data:image/png;base64,{base64.b64encode(picture()).decode()}"
    assert read_body(PICTURES, json.dumps({"inputs": url}).encode(), {}).inputs == picture()
    assert read_body(PICTURES, json.dumps({"inputs": [url, url]}).encode(), {}).inputs == [picture()] * 2


@pytest.mark.parametrize(
    "extra",
    [{"options": {"wait_for_model": True}}, {"user": "x", "metadata": {}}, {"input_type": "query"}, {"a b": None}],
)
def test_unknown_fields_are_ignored(extra: dict[str, Any]) -> None:
    assert read_body(CLASSIFICATION, json.dumps({"inputs": "good", **extra}).encode(), {}).inputs == "good"


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"top_k": 1}, "Send `top_k` in `parameters`"),
        ({"parameter": {"top_k": 1}}, "did you mean `parameters`"),
        ({"input": "bad"}, "did you mean `inputs`"),
        ({"parameters": {"top_kk": 1}}, "top_kk"),
    ],
)
def test_fields_that_are_meant_to_change_the_answer_are_refused(extra: dict[str, Any], message: str) -> None:
    with pytest.raises(BadRequest, match=message):
        read_body(CLASSIFICATION, json.dumps({"inputs": "good", **extra}).encode(), {})
