"""The function of uploads: their routes, without a page and without a model in memory."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hearth import settings
from hearth.models.cache import warm_cache
from hearth_functions.uploads import app
from tests.support.requests import rest_event


def test_it_creates_uploads_and_has_no_page(serving: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEARTH_UPLOADS", f"file://{tmp_path}/in")
    monkeypatch.setenv("HEARTH_OUTPUT", f"file://{tmp_path}/out")
    settings.get.cache_clear()
    body = json.dumps({"model": "sentiment-en", "content_type": "text/plain", "size": 5})
    created = app.handler(rest_event("POST", "/uploads", body), None)
    assert created["statusCode"] == 201
    upload = json.loads(created["body"])
    assert app.handler(rest_event("GET", f"/results/{upload['id']}"), None)["statusCode"] == 404
    assert app.handler(rest_event("DELETE", f"/results/{upload['id']}"), None)["statusCode"] == 204
    assert app.handler(rest_event("GET", "/"), None)["statusCode"] == 404
    assert not warm_cache().loaded()
