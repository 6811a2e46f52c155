"""What an installation brings: packages with the project's name and nothing generic."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support import ROOT

pytestmark = pytest.mark.slow
NEEDED = (
    "hearth/models/manifest.schema.json",
    "hearth/py.typed",
    "hearth_build/cloud/prices.toml",
    "hearth_build/zoo/sentiment-en/aliases.json",
    "hearth_functions/catalog/page/index.html",
    "hearth_functions/text_classification/app.py",
)
"""Files beside the modules that commands read."""


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The files of the wheel."""
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    for name in ("layers/runtime/python/hearth", "export", "functions"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    wheels = tmp_path_factory.mktemp("wheels")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", wheels, source]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = wheels.glob("*.whl")
    return zipfile.ZipFile(wheel).namelist()


def test_top_level_names_are_the_projects(names: list[str]) -> None:
    top = {Path(name).parts[0] for name in names}
    assert {name for name in top if not name.endswith(".dist-info")} == {"hearth", "hearth_build", "hearth_functions"}


def test_the_wheel_has_every_module_and_what_they_read(names: list[str]) -> None:
    assert set(NEEDED) <= set(names)
    for package, folder in {"hearth": "layers/runtime/python/hearth", "hearth_build": "export"}.items():
        modules = {f"{package}/{path.relative_to(ROOT / folder)}" for path in (ROOT / folder).rglob("*.py")}
        assert modules <= set(names)
