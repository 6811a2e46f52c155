"""The page for labels: the most doubtful item, buttons for labels, no requests of other pages."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from hearth.storage.open import open_store
from hearth_build.labelling.captured import read_items
from hearth_build.labelling.page import create_page
from tests.export.labelling.test_captured import put, text


@pytest.fixture
def page(tmp_path: Path) -> TestClient:
    for captured in (text("a-0", "sure", 0.99), text("b-0", "<b>unsure</b>", 0.51)):
        put(tmp_path, captured)
    store = open_store(tmp_path.as_uri())
    app = create_page(store, "m", ("bad", "good"), read_items(store, "m"), "127.0.0.1")
    return TestClient(app, base_url="http://127.0.0.1", headers={"origin": "http://127.0.0.1"})


def test_items_are_labelled_one_after_the_other(page: TestClient, tmp_path: Path) -> None:
    first = page.get("/").text
    assert "&lt;b&gt;unsure" in first
    assert "0 of 2 labelled" in first
    second = page.post("/label", data={"id": "b-0", "label": "bad"}).text
    assert "sure" in second
    assert "1 of 2 labelled" in second
    assert (tmp_path / "m/1/labels/b-0.json").exists()
    assert "Everything is labelled" in page.post("/label", data={"id": "a-0", "label": "good"}).text


def test_a_skipped_item_comes_last(page: TestClient) -> None:
    assert "<blockquote>sure" in page.post("/label", data={"id": "b-0", "label": ""}).text


def test_wrong_forms_and_other_pages_are_refused(page: TestClient) -> None:
    assert page.post("/label", data={"id": "zzz", "label": "bad"}).status_code == 404
    assert page.post("/label", data={"id": "b-0", "label": "ugly"}).status_code == 400
    assert page.post("/label", content=b"x" * 20_000).status_code == 413
    foreign = page.post("/label", data={"id": "b-0", "label": "bad"}, headers={"origin": "https://evil.example"})
    assert foreign.status_code == 403
    assert page.get("/", headers={"host": "evil.example"}).status_code in (400, 403)
