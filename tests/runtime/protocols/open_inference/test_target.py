"""Which model and version a path names."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from hearth.errors import BadRequest, NotFound
from hearth.models.registry import Ref
from hearth.protocols.base import Request
from hearth.protocols.open_inference.target import find_target, target_name
from tests.runtime.protocols.open_inference.calls import IDS, MASK, TEXT, infer
from tests.support.artifacts import make_text_artifact


def test_a_version_an_alias_and_the_name_alone_give_equal_outputs(client: TestClient) -> None:
    paths = [
        "sentiment-en",
        "sentiment-en@1",
        "sentiment-en@prod",
        "sentiment-en/versions/1",
        "sentiment-en/versions/prod",
    ]
    outputs = []
    for path in paths:
        response = client.post(f"/v2/models/{path}/infer", json={"id": "a", "inputs": [TEXT]})
        outputs.append(response.json())
    assert outputs[0]["id"] == "a"
    assert outputs[0]["model_version"] == "1"
    assert all(output == outputs[0] for output in outputs)
    raw = [infer(client, f"sentiment-en{name}", IDS, MASK) for name in ("-raw", "-raw@1", "-raw/versions/1")]
    assert raw[0] == raw[1] == raw[2]


def request(name: str, version: str = "") -> Request:
    return Request((), path_params={"name": name} | ({"version": version} if version else {}))


@pytest.mark.parametrize(
    ("name", "version", "ref", "shown", "role"),
    [
        ("sentiment-en", "", "1", "sentiment-en", ""),
        ("sentiment-en@1", "", "1", "sentiment-en", ""),
        ("sentiment-en", "1", "1", "sentiment-en", ""),
        ("sentiment-en@1", "1", "1", "sentiment-en", ""),
        ("sentiment-en@prod", "", "1", "sentiment-en", ""),
        ("sentiment-en-raw", "", "1", "sentiment-en-raw", "main"),
        ("sentiment-en-raw-main@1", "", "1", "sentiment-en-raw-main", "main"),
        ("sentiment-en-raw", "prod", "1", "sentiment-en-raw", "main"),
    ],
)
def test_a_target_is_a_version_and_a_graph(
    serving: Path, name: str, version: str, ref: str, shown: str, role: str
) -> None:
    target = find_target(request(name, version))
    assert target.resolved.ref == Ref("sentiment-en", ref)
    assert (target.shown_name, target.role) == (shown, role)


def test_a_model_may_have_a_name_that_ends_with_raw(serving: Path) -> None:
    make_text_artifact(serving, "juice-raw")
    assert find_target(request("juice-raw")).resolved.ref == Ref("juice-raw", "1")
    assert find_target(request("juice-raw")).role == ""
    assert find_target(request("juice-raw-raw")).role == "main"


def test_what_is_not_there_is_named(serving: Path) -> None:
    with pytest.raises(NotFound, match="Model sentiment-en has no graph decoder; its graphs are: main"):
        find_target(request("sentiment-en-raw-decoder"))
    with pytest.raises(NotFound, match="no model none-raw here"):
        find_target(request("none-raw"))
    with pytest.raises(BadRequest, match="The path has both version 2 and 1; send one"):
        find_target(request("sentiment-en@1", "2"))


@pytest.mark.parametrize(
    ("name", "version", "model"),
    [
        ("m", "", "m"),
        ("m@3", "", "m@3"),
        ("m", "3", "m@3"),
        ("m-raw", "", "m"),
        ("m-raw-decoder@prod", "", "m@prod"),
        ("m-raw", "3", "m@3"),
        ("m-raw-raw", "", "m-raw"),
    ],
)
def test_a_cold_start_loads_the_model_of_the_path(name: str, version: str, model: str) -> None:
    assert target_name(request(name, version).path_params) == model
