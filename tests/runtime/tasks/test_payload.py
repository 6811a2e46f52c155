"""Requests of a task as bodies and as uploaded objects."""

from __future__ import annotations

import base64
import codecs
import json
from typing import Any

import pytest

from hearth.errors import BadRequest
from hearth.tasks.payload import read_body, read_object
from hearth_functions.image_classification.app import TASKS as IMAGE_TASKS
from hearth_functions.text_classification.app import TASKS as TEXT_TASKS
from tests.functions.test_predict import picture

TEXT, IMAGE = TEXT_TASKS[0], IMAGE_TASKS[0]


@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8])
def test_a_byte_order_mark_means_nothing(mark: bytes) -> None:
    body = mark + b'{"inputs": "good"}'
    assert read_body(TEXT, body, {}).inputs == "good"
    assert read_object(TEXT, body).inputs == "good"
    assert read_object(TEXT, mark + "schön".encode()).inputs == "schön"
    file = base64.b64encode(picture()).decode()
    assert read_body(IMAGE, mark + json.dumps({"inputs": file}).encode(), {}).inputs == picture()


def test_an_uploaded_text_may_be_utf_16() -> None:
    assert read_object(TEXT, "schön".encode("utf-16")).inputs == "schön"


def test_data_urls_are_read_alone_and_in_lists() -> None:
    url = f"data:image/png;base64,{base64.b64encode(picture()).decode()}"
    assert read_body(IMAGE, json.dumps({"inputs": url}).encode(), {}).inputs == picture()
    assert read_body(IMAGE, json.dumps({"inputs": [url, url]}).encode(), {}).inputs == [picture()] * 2


@pytest.mark.parametrize(
    "extra",
    [{"options": {"wait_for_model": True}}, {"user": "x", "metadata": {}}, {"input_type": "query"}, {"a b": None}],
)
def test_unknown_fields_are_ignored(extra: dict[str, Any]) -> None:
    assert read_body(TEXT, json.dumps({"inputs": "good", **extra}).encode(), {}).inputs == "good"


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
        read_body(TEXT, json.dumps({"inputs": "good", **extra}).encode(), {})
