"""Packages import in one direction, and a process imports only what its event needs."""

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
"""The packages and lone modules of `hearth`, lowest first: each imports only from itself and from earlier rows."""


class _WithoutTypeChecking(ast.NodeTransformer):
    """Drop the blocks that only a type checker reads."""

    def visit_If(self, node: ast.If) -> ast.AST | None:
        return None if ast.unparse(node.test) == "TYPE_CHECKING" else self.generic_visit(node)


def imported_modules(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(_WithoutTypeChecking().visit(ast.parse(path.read_text()))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == "hearth":
            names |= {f"hearth.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return names


@pytest.mark.parametrize("path", sorted(RUNTIME.rglob("*.py")), ids=lambda path: str(path.relative_to(RUNTIME)))
def test_the_runtime_has_no_forbidden_import(path: Path) -> None:
    assert not {name.partition(".")[0] for name in imported_modules(path)} & FORBIDDEN


@pytest.mark.parametrize("path", sorted(RUNTIME.rglob("*.py")), ids=lambda path: str(path.relative_to(RUNTIME)))
def test_a_package_imports_only_from_lower_ones(path: Path) -> None:
    package = path.relative_to(RUNTIME).parts[0].removesuffix(".py")
    if package == "__init__":
        assert not {name for name in imported_modules(path) if name.startswith("hearth")}
        return
    layer = next(number for number, names in enumerate(ORDER) if package in names)
    allowed = {package, "__version__"}.union(*ORDER[:layer])
    imported = {name.split(".")[1] for name in imported_modules(path) if name.startswith("hearth.")}
    assert imported <= allowed, f"{package} imports {imported - allowed}"


@pytest.mark.parametrize("path", sorted((ROOT / "functions").glob("*/app.py")), ids=lambda path: path.parent.name)
def test_a_function_imports_no_other_function(path: Path) -> None:
    packages = {name.partition(".")[0] for name in imported_modules(path)}
    assert packages <= sys.stdlib_module_names | {"msgspec", "numpy", "hearth"}


@pytest.mark.parametrize("function", sorted(path.parent.name for path in (ROOT / "functions").glob("*/app.py")))
def test_a_fresh_interpreter_imports_no_web_framework(function: str) -> None:
    """Not after an unknown event, and not after an HTTP event of any protocol."""
    events = [{"what": 1}, *(rest_event("POST", path, "{}") for path in ("/models/a", "/v1/embeddings"))]
    code = "import sys, json, app; [app.handler(event, None) for event in json.loads(sys.argv[1])]"
    code += "; print(*sorted(sys.modules))"
    command = [sys.executable, "-c", code, json.dumps(events)]
    result = subprocess.run(command, cwd=ROOT / "functions" / function, capture_output=True, text=True, check=True)
    packages = {name.partition(".")[0] for name in result.stdout.splitlines()[-1].split()}
    web_frameworks = {"anyio", "fastapi", "mangum", "pydantic", "starlette"}
    assert not packages & {*web_frameworks, "boto3", "botocore", *FORBIDDEN - {"pickle"}}
