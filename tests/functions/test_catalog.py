"""The function of the catalogue: it lists every model, serves the page, and loads no model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hearth import settings
from hearth.models.cache import warm_cache
from hearth_functions.catalog import app
from tests.support.requests import rest_event


def test_it_lists_models_and_serves_the_page_without_loading_a_model(serving: Path) -> None:
    models = json.loads(app.handler(rest_event("GET", "/models"), None)["body"])["models"]
    assert [model["name"] for model in models] == ["resnet20-cifar10", "sentiment-en"]
    page = app.handler(rest_event("GET", "/"), None)
    assert page["statusCode"] == 200
    assert page["headers"]["content-type"].startswith("text/html")
    assert app.handler(rest_event("GET", "/v2/health/live"), None)["statusCode"] == 200
    assert app.handler(rest_event("POST", "/models/sentiment-en", '{"inputs": "good"}'), None)["statusCode"] == 404
    assert not warm_cache().loaded()


def test_it_creates_uploads_and_answers_for_their_results(
    serving: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEARTH_UPLOADS", f"file://{tmp_path}/in")
    monkeypatch.setenv("HEARTH_OUTPUT", f"file://{tmp_path}/out")
    settings.get.cache_clear()
    body = json.dumps({"model": "sentiment-en", "content_type": "text/plain", "size": 5})
    created = app.handler(rest_event("POST", "/uploads", body), None)
    assert created["statusCode"] == 201
    upload = json.loads(created["body"])
    assert app.handler(rest_event("GET", f"/results/{upload['id']}"), None)["statusCode"] == 404
    assert app.handler(rest_event("DELETE", f"/results/{upload['id']}"), None)["statusCode"] == 204
    assert not warm_cache().loaded()
