"""The registry of rules, and functions that several rules use."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

from tests.template.stack import Resource, Template, of_type, target

Findings = Iterator[str]
Rule = Callable[[Template], Findings]
RULES: list[Rule] = []


def rule(check: Rule) -> Rule:
    """Register a check that yields a sentence for every violation."""
    RULES.append(check)
    return check


def findings(template: Template) -> list[str]:
    return [f"{check.__name__}: {finding}" for check in RULES for finding in check(template)]


def assertions() -> int:
    """Number of assertions in the rules: one for each `yield`, one for each entry of a table named `wrong`."""
    return sum(_assertions(check) for check in RULES)


def _assertions(check: Rule) -> int:
    tree = ast.parse(textwrap.dedent(inspect.getsource(check)))
    tables = [
        len(node.value.keys)
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict) and ast.unparse(node.targets[0]) == "wrong"
    ]
    yields = [node for node in ast.walk(tree) if isinstance(node, ast.Yield | ast.YieldFrom)]
    return sum(tables) + sum("wrong.items()" not in ast.unparse(node) for node in yields)


def statements(role: Resource) -> Iterator[dict[str, Any]]:
    for policy in role.get("Policies", []):
        yield from policy["PolicyDocument"]["Statement"]


def role_of(template: Template, function: Resource) -> Resource:
    role: Resource = template["Resources"][target(function["Role"])]["Properties"]
    return role


def models_of(function: Resource) -> list[str]:
    return [name for name in function["Environment"]["Variables"].get("HEARTH_MODELS", "").split(",") if name]


def prefix_of(function: Resource) -> str:
    """The key prefix of this function's uploads."""
    return str(function["Environment"]["Variables"].get("HEARTH_UPLOAD_PREFIX", "uploads/"))


def task_functions(template: Template) -> list[tuple[str, Resource]]:
    """The functions that serve models."""
    return [(name, function) for name, function in of_type(template, "Lambda::Function") if models_of(function)]
