"""Every module has a test file beside it, by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.architecture.modules import source_modules, test_file
from tests.support import ROOT

EXCEPTIONS = {
    "layers/runtime/python/hearth/__init__.py": "has only the version",
    "layers/runtime/python/hearth/aws_lambda/__main__.py": "is run by test_streaming",
    "export/__init__.py": "has only the folders of the package",
}
"""Modules without a test file of their own, and why."""
MODULES = [str(module) for module in source_modules()]


@pytest.mark.parametrize("module", [module for module in MODULES if module not in EXCEPTIONS])
def test_a_module_has_its_test_file(module: str) -> None:
    assert (ROOT / test_file(Path(module))).is_file(), f"write {test_file(Path(module))}"


def test_exceptions_are_needed() -> None:
    for module in EXCEPTIONS:
        assert module in MODULES
        assert not (ROOT / test_file(Path(module))).exists()


def test_the_test_file_of_a_module_has_its_path_and_name() -> None:
    for module, expected in {
        "layers/runtime/python/hearth/errors.py": "tests/runtime/test_errors.py",
        "layers/runtime/python/hearth/protocols/openai/__init__.py": "tests/runtime/protocols/openai/test_openai.py",
        "export/cli/main.py": "tests/export/cli/test_main.py",
        "functions/fill_mask/app.py": "tests/functions/test_fill_mask.py",
    }.items():
        assert str(test_file(Path(module))) == expected
