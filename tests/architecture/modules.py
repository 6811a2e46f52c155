"""Which test file belongs to which module."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.support import ROOT

SOURCES = {
    Path("layers/runtime/python/hearth"): Path("tests/runtime"),
    Path("export"): Path("tests/export"),
}
FUNCTIONS = Path("functions")
RECIPES = Path("export/recipes")


def source_modules() -> list[Path]:
    """All modules with code, relative to the checkout."""
    paths = [path for source in (*SOURCES, FUNCTIONS) for path in sorted((ROOT / source).rglob("*.py"))]
    return [path.relative_to(ROOT) for path in paths if has_code(path)]


def has_code(path: Path) -> bool:
    """Whether a module is more than a docstring."""
    return any(not isinstance(node, ast.Expr) for node in ast.parse(path.read_text(encoding="utf-8")).body)


def test_file(module: Path) -> Path:
    """The test file beside a module: of `a/b.py` it is `a/test_b.py` below the tests, of a package's `__init__.py` the
    file with the package's name in its folder, of a function the file with its task's name, of a recipe's data, network
    and description the file with the recipe's name."""
    if module.is_relative_to(FUNCTIONS):
        name = "app" if module.parent == FUNCTIONS else module.parent.name
        return Path("tests/functions") / f"test_{name}.py"
    if module.parent.parent == RECIPES:
        return Path("tests/export/recipes") / f"test_{module.parent.name}.py"
    source, tests = next(item for item in SOURCES.items() if module.is_relative_to(item[0]))
    path = module.relative_to(source)
    name = path.parent.name if path.name == "__init__.py" else path.stem
    return tests / path.parent / f"test_{name}.py"


test_file.__test__ = False  # type: ignore[attr-defined] -- pytest collects functions of this name
