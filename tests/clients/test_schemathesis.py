"""Thousands of requests, made from our own OpenAPI document, through the Lambda handler: none may be a 5xx, and none
may be answered by what the document does not say."""

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
from tests.clients.bridge import bridged
from tests.conftest import set_alias
from tests.support.artifacts import make_image_artifact, make_text_artifact

HERE = Path(__file__).resolve().parent
LEAST = 5_000
"""Cases."""
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
OPTIONS = (
    *("--max-examples", "80", "--phases", "examples,coverage,fuzzing,stateful", "--checks", CHECKS, "--seed", "1"),
    *("--request-timeout", "60", "--no-color", "--generation-database", "none"),
)
SMALL = ("talks", "masks", "answers", "entails", "embeddings-en", "deepspeech-digits")


@pytest.fixture
def small_store(store: Path, tmp_path: Path) -> Path:
    """Models that answer in milliseconds."""
    for name in SMALL:
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
    with bridged("rest-v1", create_handler(serve.tasks())) as address:
        yield address
    settings.get.cache_clear()
    warm_cache.cache_clear()


def test_nothing_that_is_sent_makes_a_5xx_or_an_undocumented_answer(
    address: str, small_store: Path, tmp_path: Path
) -> None:
    names = sorted(path.name for path in small_store.iterdir())
    run = subprocess.run(
        [Path(sys.executable).with_name("st"), "run", f"{address}/openapi.json", *OPTIONS],
        cwd=tmp_path,
        env=os.environ
        | {"HEARTH_TEST_MODELS": ",".join(names), "SCHEMATHESIS_HOOKS": "tests.clients.names"}
        | {"PYTHONPATH": str(HERE.parents[1])},
        capture_output=True,
        text=True,
        timeout=590,
    )
    assert run.returncode == 0, run.stdout[-8000:] + run.stderr[-2000:]
    cases = re.search(r"([\d,]+) generated", run.stdout)
    assert cases is not None, run.stdout[-4000:]
    print(cases[0], "cases")
    assert int(cases[1].replace(",", "")) >= LEAST
