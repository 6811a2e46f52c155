"""Mutants of modules, made by cosmic-ray; run by the Python of its own environment.

`variants.py list FILE…` prints all mutants as JSON: file, operator, occurrence, line, column. `variants.py apply` reads
such a list from standard input and prints the sources, null where no mutant can be made, as in `except (A, B)`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import cosmic_ray.plugins
from cosmic_ray.ast import ast_nodes, get_ast_from_path
from cosmic_ray.mutating import mutate_code


def mutants(path: str) -> list[tuple[str, str, int, int, int]]:
    tree, all_mutants = get_ast_from_path(Path(path)), []
    for name in cosmic_ray.plugins.operator_names():
        operator: Any = cosmic_ray.plugins.get_operator(name)
        if operator.arguments():
            continue
        starts = (start for node in ast_nodes(tree) for start, _ in operator().mutation_positions(node))
        all_mutants += [(path, name, occurrence, *start) for occurrence, start in enumerate(starts)]
    return all_mutants


def source(path: str, operator: str, occurrence: int) -> str | None:
    original = Path(path).read_text(encoding="utf-8")
    try:
        mutated: str | None = mutate_code(original, cosmic_ray.plugins.get_operator(operator)(), occurrence)
    except AttributeError:  # cosmic-ray does not replace an exception in a tuple
        return None
    return None if mutated == original else mutated


if __name__ == "__main__":
    if sys.argv[1] == "list":
        print(json.dumps([mutant for path in sys.argv[2:] for mutant in mutants(path)]))
    else:
        print(json.dumps([source(*mutant[:3]) for mutant in json.load(sys.stdin)]))
