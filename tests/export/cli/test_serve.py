"""`hearth serve` serves what is published while it runs."""

from __future__ import annotations

import json
import shutil
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

from hearth_build import ZOO
from tests.browser.conftest import serving


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_published_models_and_moved_aliases_appear_without_a_restart(tmp_path: Path) -> None:
    store = tmp_path / "store"
    shutil.copytree(ZOO / "sentiment-en", store / "sentiment-en")
    (tmp_path / "work").mkdir()
    with serving(store, tmp_path / "work") as address:

        def names() -> list[str]:
            with urllib.request.urlopen(f"{address}models") as response:
                return [model["name"] for model in json.load(response)["models"]]

        def version() -> str:
            with urllib.request.urlopen(f"{address}models/sentiment-en") as response:
                return str(json.load(response)["version"])

        assert (names(), version()) == (["sentiment-en"], "1")
        shutil.copytree(ZOO / "yolo-cells", store / "yolo-cells")
        second = store / "sentiment-en/2"
        shutil.copytree(store / "sentiment-en/1", second)
        manifest = json.loads((second / "manifest.json").read_text())
        (second / "manifest.json").write_text(json.dumps(manifest | {"version": "2"}))
        (store / "sentiment-en/aliases.json").write_text('{"prod": {"version": "2"}}')
        until(lambda: names() == ["sentiment-en", "yolo-cells"])
        until(lambda: version() == "2")
