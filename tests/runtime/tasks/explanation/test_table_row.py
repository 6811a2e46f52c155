"""Columns of a row: exact for a linear regression, whose Shapley values are known, and summing to the score."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from hearth.http.asgi import create_app
from hearth_build.release.served import tasks_of
from tests.support.artifacts import TABLE_BIAS, TABLE_WEIGHTS, make_table_artifact

USUAL = {"age": (20.0, 30.0, 40.0), "hours": (1.0, 2.0, 6.0), "rooms": (4.0, 4.0, 4.0)}
ROW = {"age": 39, "hours": 4.5, "rooms": 4}


@pytest.fixture
def client(serving: Path) -> TestClient:
    for task in ("tabular-regression", "tabular-classification"):
        make_table_artifact(serving, task, columns=USUAL)
    make_table_artifact(serving, model="imported")
    return TestClient(create_app(tasks_of("tabular-regression"), local=True))


def explanation(client: TestClient, model: str, body: dict[str, Any]) -> dict[str, Any]:
    response = client.post(f"/models/{model}/explain", json=body)
    assert response.status_code == 200, response.text
    result: dict[str, Any] = response.json()["explanation"]
    return result


FORMS: tuple[dict[str, Any], ...] = (
    {"inputs": [ROW]},
    {"table": {name: [value] for name, value in ROW.items()}},
    {"inputs": "rooms,hours,age\n4,4.5,39\n"},
)


@pytest.mark.parametrize("body", FORMS, ids=["rows", "columns", "CSV"])
def test_values_of_a_linear_regression_are_its_weights_times_the_difference_from_the_mean(
    client: TestClient, body: dict[str, Any]
) -> None:
    result = explanation(client, "tabular-regression", body)
    values = {part["column"]: part["value"] for part in result["parts"]}
    means = {name: np.mean(column) for name, column in USUAL.items()}
    expected = {name: weight * (ROW[name] - means[name]) for name, weight in zip(USUAL, TABLE_WEIGHTS, strict=True)}
    assert values == pytest.approx(expected, abs=1e-4)
    assert (result["method"], result["measure"], result["runs"]) == ("exact-shapley", "prediction", 8)
    assert result["error"] == 0
    base = TABLE_BIAS + sum(weight * mean for weight, mean in zip(TABLE_WEIGHTS, means.values(), strict=True))
    assert result["base_score"] == pytest.approx(base)
    assert {part["column"]: float(part["content"]) for part in result["parts"]} == ROW


@pytest.mark.parametrize("target", [None, "low", "high"])
def test_values_of_a_label_sum_to_its_score(client: TestClient, target: str | None) -> None:
    body = {"inputs": [ROW], "parameters": {"explain": {"target": target} if target else True}}
    result = explanation(client, "tabular-classification", body)
    plain = client.post("/models/tabular-classification", json={"inputs": [ROW], "parameters": {"top_k": 2}}).json()
    scores = {label["label"]: label["score"] for label in plain[0]}
    assert result["target"] == (target or plain[0][0]["label"])
    assert result["score"] == pytest.approx(scores[result["target"]])
    assert sum(part["value"] for part in result["parts"]) == pytest.approx(result["score"] - result["base_score"])
    assert 0 < result["base_score"] < 1
    assert result == explanation(client, "tabular-classification", body)


def test_a_row_is_compared_with_the_rows_of_the_request(client: TestClient) -> None:
    body = {"inputs": [ROW], "parameters": {"explain": {"reference": [{"age": 29, "hours": 4.5, "rooms": 5}]}}}
    result = explanation(client, "imported", body)
    assert [part["value"] for part in result["parts"]] == pytest.approx([20, 0, -0.5])


@pytest.mark.parametrize(
    ("model", "body", "message"),
    [
        ("imported", {"inputs": [ROW]}, "published without the usual values"),
        ("tabular-regression", {"inputs": [ROW, ROW]}, "One row is explained at a time"),
        ("tabular-regression", {"inputs": [ROW], "parameters": {"explain": {"target": "1"}}}, "from 0 to 0"),
        ("tabular-classification", {"inputs": [ROW], "parameters": {"explain": {"target": "odd"}}}, "no label"),
        ("imported", {"inputs": [ROW], "parameters": {"explain": {"reference": [{"age": 1}]}}}, "has no column"),
        ("imported", {"inputs": [ROW], "parameters": {"explain": {"reference": []}}}, "reference"),
        ("imported", {"inputs": [ROW], "parameters": {"explain": {"reference": [{**ROW, "age": "x"}]}}}, "numbers"),
    ],
)
def test_what_cannot_be_explained_is_refused(client: TestClient, model: str, body: Any, message: str) -> None:
    response = client.post(f"/models/{model}/explain", json=body)
    assert response.status_code == 400
    assert message in response.json()["error"]


def test_open_inference_explains_a_row(client: TestClient) -> None:
    inputs = [{"name": name, "datatype": "FP32", "shape": [1], "data": [value]} for name, value in ROW.items()]
    for model in ("tabular-regression", "tabular-classification"):
        response = client.post(f"/v2/models/{model}/explain", json={"inputs": inputs})
        assert response.status_code == 200, response.text
        outputs = {output["name"]: output["data"] for output in response.json()["outputs"]}
        assert '"exact-shapley"' in outputs["explanation"][0]
