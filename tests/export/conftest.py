from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hearth import settings
from hearth.models.cache import warm_cache

pytest.importorskip("torch", reason="the export extra (torch) is not installed")
pytest.importorskip("onnxscript", reason="the export extra (onnxscript) is not installed")


@pytest.fixture(scope="session")
def toy_work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The work folder of the toy recipe after a complete build."""
    from hearth_build.pipeline.build import build
    from tests.export import toy

    work = tmp_path_factory.mktemp("toy")
    build(toy.recipe(), work, "hearth build toy")
    return work


@pytest.fixture(autouse=True)
def environment_of_commands() -> Iterator[None]:
    """Restore what a command changes in this process: its variables and what was read from them."""
    before = dict(os.environ)
    forget_settings()
    yield
    os.environ.clear()
    os.environ.update(before)
    forget_settings()


def forget_settings() -> None:
    settings.get.cache_clear()
    warm_cache.cache_clear()
