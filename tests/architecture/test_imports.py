"""Imports run one way, and a process imports only what its event needs."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import ROOT
from tests.support.requests import rest_event

RUNTIME = ROOT / "layers/runtime/python/hearth"
FORBIDDEN = {"torch", "transformers", "onnx", "hearth_build", "hearth_functions", "pickle", "joblib"}
ORDER = (
    {"errors"},
    {"settings", "deadline", "strict_json", "task_table"},
    {"aws", "telemetry", "auth"},
    {"storage"},
    {"models"},
    {"bootstrap"},
    {"ops"},
    {"tasks"},
    {"async_inference"},
    {"protocols"},
    {"http"},
    {"aws_lambda"},
)
"""The packages and lone modules of `hearth`, lowest first: each imports only from rows above its own, and from itself."""


class _Running(ast.NodeTransformer):
    """Drops what only a type checker reads."""

    def visit_If(self, node: ast.If) -> ast.AST | None:
        return None if ast.unparse(node.test) == "TYPE_CHECKING" else self.generic_visit(node)


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(_Running().visit(ast.parse(path.read_text()))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == "hearth":
            names |= {f"hearth.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return names


@pytest.mark.parametrize("path", sorted(RUNTIME.rglob("*.py")), ids=lambda path: str(path.relative_to(RUNTIME)))
def test_the_runtime_imports_nothing_it_must_not(path: Path) -> None:
    assert not {name.partition(".")[0] for name in imported(path)} & FORBIDDEN


@pytest.mark.parametrize("path", sorted(RUNTIME.rglob("*.py")), ids=lambda path: str(path.relative_to(RUNTIME)))
def test_imports_run_from_the_event_down_to_the_ground(path: Path) -> None:
    place = path.relative_to(RUNTIME).parts[0].removesuffix(".py")
    if place == "__init__":
        assert not {name for name in imported(path) if name.startswith("hearth")}
        return
    row = next(number for number, names in enumerate(ORDER) if place in names)
    allowed = {place, "__version__"}.union(*ORDER[:row])
    within = {name.split(".")[1] for name in imported(path) if name.startswith("hearth.")}
    assert within <= allowed, f"{place} imports {within - allowed}"


@pytest.mark.parametrize("path", sorted((ROOT / "functions").glob("*/app.py")), ids=lambda path: path.parent.name)
def test_a_function_imports_hearth_and_no_sibling(path: Path) -> None:
    top = {name.partition(".")[0] for name in imported(path)}
    assert top <= sys.stdlib_module_names | {"msgspec", "numpy", "hearth"}


@pytest.mark.parametrize("function", sorted(path.parent.name for path in (ROOT / "functions").glob("*/app.py")))
def test_a_fresh_interpreter_imports_no_web_framework(function: str) -> None:
    """Neither after an event that is none nor after an HTTP event, in whatever protocol."""
    events = [{"what": 1}, *(rest_event("POST", path, "{}") for path in ("/models/a", "/v1/embeddings"))]
    code = "import sys, json, app; [app.handler(event, None) for event in json.loads(sys.argv[1])]"
    code += "; print(*sorted(sys.modules))"
    command = [sys.executable, "-c", code, json.dumps(events)]
    run = subprocess.run(command, cwd=ROOT / "functions" / function, capture_output=True, text=True, check=True)
    top = {name.partition(".")[0] for name in run.stdout.splitlines()[-1].split()}
    web = {"anyio", "fastapi", "mangum", "pydantic", "starlette"}
    assert not top & {*web, "boto3", "botocore", *FORBIDDEN - {"pickle"}}
