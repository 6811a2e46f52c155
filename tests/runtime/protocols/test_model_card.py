"""The versions and the card of a model, from the local server."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from hearth_build import ZOO
from hearth_build.cli import serve


@pytest.fixture
def client(serving: Path) -> Iterator[TestClient]:
    for name in ("sentiment-en", "yolo-cells"):
        shutil.copytree(ZOO / name, serving / name, dirs_exist_ok=True)
    with TestClient(serve.app()) as client:
        yield client


def get(client: TestClient, path: str, status: int = 200) -> Any:
    response = client.get(path)
    assert response.status_code == status, response.text
    return response.json()


def test_versions_are_listed_newest_first_with_the_aliases(client: TestClient, serving: Path) -> None:
    manifest = json.loads((serving / "sentiment-en/1/manifest.json").read_text())
    (serving / "sentiment-en/2").mkdir()
    (serving / "sentiment-en/2/manifest.json").write_text(json.dumps(manifest | {"version": "2"}))
    (serving / "sentiment-en/3").mkdir()
    (serving / "sentiment-en/3/manifest.json").write_text("damaged")
    document = get(client, "/models/sentiment-en/versions")
    assert [version["version"] for version in document["versions"]] == ["2", "1"]
    assert document["versions"][0]["metrics"]["accuracy"] > 0.8
    assert document["aliases"]["prod"]["version"] == "1"
    get(client, "/models/nobody/versions", 404)


def test_a_card_has_the_report_its_plot_and_examples(client: TestClient, serving: Path) -> None:
    card = get(client, "/models/sentiment-en/card")
    assert card["report"].startswith("# sentiment-en")
    assert base64.b64decode(card["plots"][0]) == (serving / "sentiment-en/1/report.png").read_bytes()
    assert card["examples"][0] == "A wonderful film, I loved every minute of it."
    assert base64.b64decode(get(client, "/models/yolo-cells/card")["examples"][0]["base64"])
    (serving / "sentiment-en/1/report.md").write_text("changed")
    assert "does not match" in get(client, "/models/sentiment-en/card", 503)["error"]
