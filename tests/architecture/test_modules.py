"""Every module has a test file beside it, by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.architecture.modules import source_modules, test_file
from tests.support import ROOT

EXCEPTIONS = {
    "layers/runtime/python/hearth/__init__.py": "has only the version",
    "layers/runtime/python/hearth/aws_lambda/__main__.py": "is run by test_streaming",
    "layers/runtime/python/hearth/ops/containers.py": "tasks/test_audio_container and test_video_file open every kind",
    "layers/runtime/python/hearth/ops/vision/av1_units.py": "ops/vision/test_heif opens AVIF",
    "layers/runtime/python/hearth/ops/vision/jpeg_scans.py": "ops/vision/test_images counts scans",
    "layers/runtime/python/hearth/protocols/openai/responses.py": "clients/test_openai_formats calls it",
    "layers/runtime/python/hearth/protocols/openai/responses_schema.py": "has only documents",
    "layers/runtime/python/hearth/tasks/seq2seq.py": "functions/test_translation compares it with transformers",
    "export/__init__.py": "has only the paths of the functions and of the zoo",
    "functions/summarization/app.py": "test_text2text_generation compares it with transformers",
    "functions/tensors/app.py": "export/importing/test_tensors predicts with it",
}
"""Modules without a test file of their own, and what runs them."""
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
        "export/recipes/ner_zh/network.py": "tests/export/recipes/test_ner_zh.py",
        "functions/fill_mask/app.py": "tests/functions/test_fill_mask.py",
    }.items():
        assert str(test_file(Path(module))) == expected
