"""Explanations through every protocol, with the errors of wrong requests."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw
from starlette.testclient import TestClient

from hearth import settings
from hearth.http.asgi import create_app
from hearth.models.cache import warm_cache
from hearth.task_table import TASKS as TABLE
from hearth_build import ZOO
from hearth_build.release.served import tasks_of

TASKS = tuple(
    task
    for name in ("text-classification", "image-classification", "object-detection", "translation", "text-generation")
    for task in tasks_of(name)
)
TEXT = "this movie is wonderful but the film is a bit awful , i love it"


@pytest.fixture
def client(serving: Path) -> TestClient:
    return TestClient(create_app(TASKS, local=True))


@pytest.fixture
def zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TestClient:
    monkeypatch.setenv("HEARTH_STORE", ZOO.as_uri())
    monkeypatch.setenv("HEARTH_CACHE_DIR", str(tmp_path / "cache"))
    settings.get.cache_clear()
    warm_cache.cache_clear()
    return TestClient(create_app(TASKS, local=True))


def words(explanation: dict[str, Any]) -> dict[str, float]:
    return {part["text"]: part["value"] for part in explanation["parts"]}


@pytest.mark.parametrize("path", ["/models/sentiment-en/explain", "/models/sentiment-en"])
def test_words_that_made_the_label_have_the_largest_values(client: TestClient, path: str) -> None:
    parameters = {"explain": {"runs": 80}}
    response = client.post(path, json={"inputs": TEXT, "parameters": parameters | {"top_k": 1}})
    assert response.status_code == 200, response.text
    plain = client.post("/models/sentiment-en", json={"inputs": TEXT, "parameters": {"top_k": 1}}).json()
    body = response.json()
    explanation = body["explanation"]
    assert body["predictions"] == plain
    assert explanation["target"] == plain[0][0]["label"] == "positive"
    assert explanation["score"] == pytest.approx(plain[0][0]["score"])
    values = words(explanation)
    assert sorted(values, key=lambda word: values[word])[-2:] in (["love", "wonderful"], ["wonderful", "love"])
    assert min(values, key=lambda word: values[word]) == "awful"
    assert sum(part["value"] for part in explanation["parts"]) == pytest.approx(
        explanation["score"] - explanation["base_score"]
    )
    for part in explanation["parts"]:
        assert TEXT[part["start"] : part["end"]] == part["text"]


def test_another_label_and_a_number_of_runs_can_be_chosen(client: TestClient) -> None:
    options = {"target": "negative", "runs": 6}
    body = client.post("/models/sentiment-en", json={"inputs": TEXT, "parameters": {"explain": options}}).json()
    assert body["explanation"]["target"] == "negative"
    assert body["explanation"]["runs"] <= 6


def test_chinese_is_explained_by_character(client: TestClient) -> None:
    body = client.post("/models/sentiment-en/explain", json={"inputs": "这个电影糟糕"}).json()
    assert [part["text"] for part in body["explanation"]["parts"]] == list("这个电影糟糕")


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("/models/sentiment-en/explain", {"inputs": ["a", "b"]}, "one input"),
        ("/models/sentiment-en", {"inputs": TEXT, "parameters": {"explain": {"target": "angry"}}}, "angry"),
        ("/models/sentiment-en", {"inputs": TEXT, "parameters": {"explain": {"runs": 10_000}}}, "runs"),
        ("/models/sentiment-en", {"inputs": TEXT, "parameters": {"explain": "yes"}}, "explain"),
        ("/models/none/explain", {"inputs": TEXT}, "none"),
    ],
)
def test_a_wrong_request_says_why(client: TestClient, path: str, body: Any, message: str) -> None:
    response = client.post(path, json=body)
    assert response.status_code in (400, 404)
    assert message in response.json()["error"].lower()


def test_open_inference_has_an_output_explanation(client: TestClient) -> None:
    inputs = [{"name": "text", "datatype": "BYTES", "shape": [1], "data": [TEXT]}]
    for path, parameters in (("explain", {}), ("infer", {"explain": True})):
        response = client.post(f"/v2/models/sentiment-en/{path}", json={"inputs": inputs, "parameters": parameters})
        assert response.status_code == 200, response.text
        outputs = {output["name"]: output["data"] for output in response.json()["outputs"]}
        explanation = json.loads(outputs["explanation"][0])
        assert explanation["target"] == "positive"
        assert explanation["score"] == pytest.approx(max(outputs["scores"]), abs=1e-6)
    assert "explanation" not in client.post("/v2/models/sentiment-en/infer", json={"inputs": inputs}).text
    assert client.post("/v2/models/sentiment-en-raw/explain", json={"inputs": inputs}).status_code == 400


def png(picture: Image.Image) -> str:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def test_tiles_cover_a_picture_and_sum_to_the_score(client: TestClient) -> None:
    picture = Image.new("RGB", (300, 120), (20, 20, 20))
    ImageDraw.Draw(picture).rectangle((150, 0, 299, 119), fill=(250, 30, 30))
    body = client.post("/models/resnet20-cifar10/explain", json={"inputs": png(picture)}).json()
    explanation = body["explanation"]
    boxes = [part["box"] for part in explanation["parts"]]
    area = sum((box["xmax"] - box["xmin"]) * (box["ymax"] - box["ymin"]) for box in boxes)
    assert area == 300 * 120
    assert sum(part["value"] for part in explanation["parts"]) == pytest.approx(
        explanation["score"] - explanation["base_score"], abs=1e-6
    )


@pytest.mark.parametrize("factor", [1, 3])
def test_a_box_is_explained_by_the_tiles_below_it(zoo: TestClient, factor: int) -> None:
    """Also in a picture that is larger than what its parts are made of."""
    golden = json.loads(next((ZOO / "yolo-cells").glob("*/golden.json")).read_text(encoding="utf-8"))
    picture = Image.open(io.BytesIO(base64.b64decode(golden["cases"][0]["inputs"]["base64"])))
    large = picture.resize((picture.width * factor, picture.height * factor))
    response = zoo.post("/models/yolo-cells/explain", json={"inputs": png(large)})
    assert response.status_code == 200, response.text
    body = response.json()
    assert body["explanation"]["score"] == pytest.approx(body["predictions"][0]["score"], rel=0.05)
    box, parts = body["predictions"][0]["box"], body["explanation"]["parts"]

    def is_inside(part: dict[str, Any]) -> bool:
        tile = part["box"]
        return (
            box["xmin"] < (tile["xmin"] + tile["xmax"]) / 2 < box["xmax"]
            and box["ymin"] < (tile["ymin"] + tile["ymax"]) / 2 < box["ymax"]
        )

    inside = sum(part["value"] for part in parts if is_inside(part))
    assert inside > 0.6 * body["explanation"]["score"]


def test_tasks_without_explanations_say_which_have_them(zoo: TestClient) -> None:
    response = zoo.post("/models/gpt-shakespeare/explain", json={"inputs": "hello"})
    assert response.status_code == 400
    message = response.json()["error"]
    assert "text-generation has no explanations" in message
    assert all(row.id in message for row in TABLE.values() if row.parts)
    assert "tensors" not in message


def test_a_translation_of_the_zoo_is_explained_word_by_word(zoo: TestClient) -> None:
    response = zoo.post("/models/translate-en-de/explain", json={"inputs": "A black dog runs through the snow ."})
    assert response.status_code == 200, response.text
    explanation = response.json()["explanation"]
    words = {word["text"]: word["values"] for word in explanation["outputs"]}
    sources = [part["text"] for part in explanation["parts"]]
    for written, source in (("schwarzer", "black"), ("schnee", "snow")):
        values = words[written]
        assert sources[values.index(max(values))] == source


def test_open_inference_explains_a_translation(zoo: TestClient) -> None:
    inputs = [{"name": "text", "datatype": "BYTES", "shape": [1], "data": ["A black dog ."]}]
    response = zoo.post("/v2/models/translate-en-de/explain", json={"inputs": inputs})
    assert response.status_code == 200, response.text
    outputs = {output["name"]: output["data"] for output in response.json()["outputs"]}
    explanation = json.loads(outputs["explanation"][0])
    assert explanation["target"] == outputs["translation_text"][0]
    assert "".join(word["text"] for word in explanation["outputs"]) == explanation["target"].replace(" ", "")


def test_an_explanation_ends_before_the_deadline(zoo: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """With no time left, the values are those of the first runs: the empty and the whole input."""
    monkeypatch.setattr("hearth.tasks.explanation.deadline.expires_within", lambda seconds: True)
    text = "A black dog runs through the deep snow of the night."
    response = zoo.post("/models/translate-en-de", json={"inputs": text, "parameters": {"explain": {"runs": 500}}})
    explanation = response.json()["explanation"]
    assert explanation["runs"] == 2
    assert len({part["value"] for part in explanation["parts"]}) == 1
