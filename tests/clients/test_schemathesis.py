"""Thousands of requests, generated from our OpenAPI document, through the Lambda handler: no response may be a 5xx, and
none may be undocumented."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hearth import settings
from hearth.aws_lambda.handler import create_handler
from hearth.models.cache import warm_cache
from hearth_build.cli import serve
from tests.clients.bridge import serve_handler
from tests.conftest import set_alias
from tests.support.artifacts import make_image_artifact, make_text_artifact

HERE = Path(__file__).resolve().parent
MINIMUM_CASES = 5_000
"""Number of cases that must be generated."""
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
OPTIONS = (
    *("--max-examples", "80", "--phases", "examples,coverage,fuzzing,stateful", "--checks", CHECKS, "--seed", "1"),
    *("--request-timeout", "60", "--no-color", "--generation-database", "none"),
)
FAST_MODELS = ("talks", "masks", "answers", "entails", "embeddings-en", "deepspeech-digits")


@pytest.fixture
def small_store(store: Path, tmp_path: Path) -> Path:
    """A store with models that respond in milliseconds."""
    for name in FAST_MODELS:
        shutil.copytree(store / name, tmp_path / "store" / name)
    for make in (make_text_artifact, make_image_artifact):
        set_alias(tmp_path / "store", make(tmp_path / "store").parent.name, "1")
    return tmp_path / "store"


@pytest.fixture
def address(small_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("HEARTH_STORE", small_store.as_uri())
    monkeypatch.setenv("HEARTH_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("HEARTH_THREADS", "1")
    settings.get.cache_clear()
    warm_cache.cache_clear()
    with serve_handler("rest-v1", create_handler(serve.tasks())) as address:
        yield address
    settings.get.cache_clear()
    warm_cache.cache_clear()


def test_generated_requests_get_documented_responses_without_5xx(
    address: str, small_store: Path, tmp_path: Path
) -> None:
    names = sorted(path.name for path in small_store.iterdir())
    process = subprocess.run(
        [Path(sys.executable).with_name("st"), "run", f"{address}/openapi.json", *OPTIONS],
        cwd=tmp_path,
        env=os.environ
        | {"HEARTH_TEST_MODELS": ",".join(names), "SCHEMATHESIS_HOOKS": "tests.clients.names"}
        | {"PYTHONPATH": str(HERE.parents[1])},
        capture_output=True,
        text=True,
        timeout=590,
    )
    assert process.returncode == 0, process.stdout[-8000:] + process.stderr[-2000:]
    cases = re.search(r"([\d,]+) generated", process.stdout)
    assert cases is not None, process.stdout[-4000:]
    print(cases[0], "cases")
    assert int(cases[1].replace(",", "")) >= MINIMUM_CASES
