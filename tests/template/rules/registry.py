"""The registry of rules, and functions that several rules use."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

from tests.template.stack import Resource, Template, target

Findings = Iterator[str]
Rule = Callable[[Template], Findings]
RULES: list[Rule] = []
SERVING = ("Shared", "Jobs")
"""The functions that serve models."""
NO_VALUE = {"Ref": "AWS::NoValue"}


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


def if_condition(value: Any, name: str) -> tuple[Any, Any]:
    """The values with and without a condition; twice the value itself if it does not depend on it."""
    if isinstance(value, dict) and value.get("Fn::If", [None])[0] == name:
        return value["Fn::If"][1], value["Fn::If"][2]
    return value, value


def is_our_key(value: Any) -> bool:
    """Whether a setting has the stack's key if there is one, and else the key of the service."""
    with_key, without = if_condition(value, "HasKey")
    return target(with_key) == "Key" and without == NO_VALUE


def statements(role: Resource) -> Iterator[dict[str, Any]]:
    """The statements of a role in a stack with all that parameters can add."""
    for policy in role.get("Policies", []):
        for statement in policy["PolicyDocument"]["Statement"]:
            yield statement["Fn::If"][1] if "Fn::If" in statement else statement


def role_of(template: Template, function: Resource) -> Resource:
    role: Resource = template["Resources"][target(function["Role"])]["Properties"]
    return role
