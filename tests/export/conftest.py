from __future__ import annotations

from pathlib import Path

import pytest

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
