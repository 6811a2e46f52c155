"""A store with tiny artifacts of both kinds, and a process that is set to serve it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hearth import settings
from hearth.bootstrap import prepare_process
from hearth.models.cache import warm_cache
from hearth.telemetry import cost
from tests.support.artifacts import make_image_artifact, make_text_artifact
from tests.support.layers import python313
from tests.template.local_stack import Aws, local_aws

CONTAINERS = ("sam", "aws")
"""Fixtures whose tests start containers. They take longest and begin first: no worker ends long after the other."""


def pytest_configure() -> None:
    prepare_process()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Containers first and the browser last: a container's network that comes or goes ends a browser's requests."""

    def turn(item: pytest.Item) -> int:
        wanted = set(getattr(item, "fixturenames", ()))
        return 0 if wanted & set(CONTAINERS) else 2 if "browser" in item.path.parts else 1

    items.sort(key=turn)


def set_alias(store: Path, model: str, version: str, alias: str = "prod") -> None:
    (store / model / "aliases.json").write_text(json.dumps({alias: {"version": version}}))


def log_lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """The lines that this process logged since they were last asked for."""
    return [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]


@pytest.fixture
def store_folder(tmp_path: Path) -> Path:
    """Models `sentiment-en` and `resnet20-cifar10`, version 1, alias prod."""
    folder = tmp_path / "store"
    for make in (make_text_artifact, make_image_artifact):
        set_alias(folder, make(folder).parent.name, "1")
    return folder


@pytest.fixture
def serving(store_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This process serves the store whose folder this is, from a cache of its own."""
    monkeypatch.setenv("HEARTH_STORE", f"file://{store_folder}")
    monkeypatch.setenv("HEARTH_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("HEARTH_ALIAS_SECONDS", "0")
    for known in (settings.get, warm_cache, cost.dollars_per_millisecond):
        known.cache_clear()
    return store_folder


@pytest.fixture(scope="session")
def python_of_lambda() -> Path:
    """Skips what needs Python 3.13 where there is none; CI must have it."""
    try:
        return python313()
    except FileNotFoundError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def aws(python_of_lambda: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    """A local AWS for all tests that want one."""
    with local_aws(tmp_path_factory.mktemp("aws")) as running:
        yield running
