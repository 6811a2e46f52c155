"""Deployed code has no switches for tests: tests inject faults from outside."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from hearth import settings
from tests.support import ROOT

DEPLOYED = sorted(
    path
    for folder in ("functions", "layers/runtime/python")
    for path in (ROOT / folder).rglob("*.py")
    if path.parent != ROOT / "functions"  # the local server
)
SWITCH = re.compile(
    r"chaos|sabotage|inject|monkey|mock|pytest|unittest|dry_?run|for_tests?\b|in_tests?\b|test_mode", re.I
)
VARIABLE = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)+")
KNOWN = {
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION"),
    *("AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN", "AWS_ENDPOINT_URL"),
    *("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL_SQS", "AWS_SAM_LOCAL", "XDG_CACHE_HOME"),
    *("ORT_DISABLE_TELEMETRY", "TOKENIZERS_PARALLELISM", "OPENBLAS_NUM_THREADS", "HEARTH_LOG_LEVEL"),
}
"""Environment variables in addition to the settings in docs/settings.md and those of Lambda."""


def _read_variables(source: str) -> Iterator[str]:
    """Names of environment variables that the code reads, or could read."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Subscript | ast.Call) and "environ" in ast.unparse(node):
            for child in ast.walk(node):
                if isinstance(child, ast.Constant) and VARIABLE.fullmatch(str(child.value)):
                    yield str(child.value)


def _test_switches(source: str) -> list[str]:
    """Names and strings that suggest tests, outside docstrings."""
    tree = ast.parse(source)
    documentation = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    names = [
        str(getattr(node, field))
        for node in ast.walk(tree)
        if id(node) not in documentation
        for field in ("id", "attr", "arg", "name", "value")
        if isinstance(getattr(node, field, None), str)
    ]
    return [name for name in names if SWITCH.search(name)]


def test_deployed_code_has_no_test_switches() -> None:
    documented = set(re.findall(r"\b(?:HEARTH|OTEL)_[A-Z_]+", (ROOT / "docs/settings.md").read_text()))
    for path in DEPLOYED:
        source = path.read_text()
        unknown = {name for name in _read_variables(source) if not name.startswith("AWS_LAMBDA_")} - KNOWN - documented
        assert not unknown, path
        assert not _test_switches(source), path


def test_switches_would_be_detected() -> None:
    assert settings.__file__ in map(str, DEPLOYED)
    assert set(_read_variables('import os\nif os.environ.get("HEARTH_FAIL_AT"): pass')) == {"HEARTH_FAIL_AT"}
    assert _test_switches("if chaos_rate > 0: pass") == ["chaos_rate"]
    assert set(_test_switches('"""Not a mock."""\nx = getenv("FAIL_IN_TEST")\ny = "inject"')) == {
        "FAIL_IN_TEST",
        "inject",
    }
