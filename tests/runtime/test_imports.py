"""Imports run one way, and a process imports only what its event needs."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.requests import rest_event

ROOT = Path(__file__).parents[2]
RUNTIME = ROOT / "layers/runtime/python/hearth"
FORBIDDEN = {"torch", "transformers", "onnx", "export", "pickle", "joblib", "functions"}
WEB = {"anyio", "fastapi", "mangum", "pydantic", "starlette"}
# Who may import what of hearth, lowest first: a module imports only from rows above its own, or its own row's left.
ORDER = [
    "errors",
    "deadline",
    "trace",
    "settings",
    "keys",
    "manifest",
    "connection",
    "s3",
    "store",
    "p256",
    "signature",
    "transfer",
    "registry",
    "model",
    "cache",
    "task",
]


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


@pytest.mark.parametrize("path", sorted(RUNTIME.rglob("*.py")), ids=lambda path: path.name)
def test_the_runtime_imports_nothing_it_must_not(path: Path) -> None:
    names = imported(path)
    assert not {name.partition(".")[0] for name in names} & FORBIDDEN
    if path.stem in ORDER:
        above = ORDER[: ORDER.index(path.stem)]
        within = {name.split(".")[1] for name in names if name.startswith("hearth.")}
        assert within <= set(above), f"{path.stem} imports {within - set(above)}"
    if path.parent.name == "ops":
        ours = {name for name in names if name.startswith("hearth") and not name.startswith("hearth.ops.")}
        assert ours <= {"hearth.errors", "hearth.manifest", "hearth.deadline"}


@pytest.mark.parametrize("path", sorted((ROOT / "functions").glob("*/app.py")), ids=lambda path: path.parent.name)
def test_a_function_imports_hearth_and_no_sibling(path: Path) -> None:
    top = {name.partition(".")[0] for name in imported(path)}
    assert top <= sys.stdlib_module_names | {"msgspec", "numpy", "hearth"}


@pytest.mark.parametrize("function", sorted(path.parent.name for path in (ROOT / "functions").glob("*/app.py")))
def test_a_fresh_interpreter_imports_no_web_framework(function: str) -> None:
    """Neither after an event that is none nor after an HTTP event, whatever dialect it speaks."""
    events = [{"what": 1}, *(rest_event("POST", path, "{}") for path in ("/models/a", "/v1/embeddings"))]
    code = "import sys, json, app; [app.handler(event, None) for event in json.loads(sys.argv[1])]"
    code += "; print(*sorted(sys.modules))"
    command = [sys.executable, "-c", code, json.dumps(events)]
    run = subprocess.run(command, cwd=ROOT / "functions" / function, capture_output=True, text=True, check=True)
    top = {name.partition(".")[0] for name in run.stdout.splitlines()[-1].split()}
    assert not top & {
        "anyio",
        "fastapi",
        "starlette",
        "pydantic",
        "mangum",
        "boto3",
        "botocore",
        *FORBIDDEN - {"pickle"},
    }
