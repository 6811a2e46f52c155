"""Fingerprints of what a step reads: a step that is complete runs again when its inputs have changed."""

from __future__ import annotations

import ast
import hashlib
import inspect
import json
from dataclasses import asdict
from pathlib import Path

from hearth_build.recipe import Recipe, Stage

RECIPES = "hearth_build.recipes."


def of_inputs(recipe: Recipe) -> str:
    """The fingerprint of what `prepare` reads: the sources, the recipe's files, and the recipe's own code."""
    sources = [source.sentence() for source in recipe.sources]
    return _digest([recipe.name, recipe.seed, sources, [_file_digest(path) for path in recipe.inputs], _code(recipe)])


def of_stage(stage: Stage, seed: int, inputs: str) -> str:
    """The fingerprint of a training run whose data and earlier stages have the fingerprint `inputs`."""
    numbers = [stage.epochs, stage.batch_size, stage.max_grad_norm, stage.ema_decay, stage.minutes, seed]
    return _digest([asdict(stage.optimiser), asdict(stage.schedule), numbers, inputs])


def _digest(document: object) -> str:
    return hashlib.sha256(json.dumps(document).encode()).hexdigest()


def _file_digest(path: Path) -> list[str]:
    with path.open("rb") as file:
        return [path.name, hashlib.file_digest(file, "sha256").hexdigest()]


def _code(recipe: Recipe) -> list[str]:
    """The code beside the function `prepare`, if the recipe is one of ours, without comments and docstrings."""
    if not recipe.prepare.__module__.startswith(RECIPES):
        return []
    folder = Path(inspect.getfile(recipe.prepare)).parent
    return [_without_docstrings(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.py"))]


def _without_docstrings(source: str) -> str:
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [  # type: ignore[attr-defined]
                statement
                for statement in body
                if not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant))
            ]
    return ast.dump(tree)
