"""Which of the graphs of a folder is imported, and which is a variant of it in another precision."""

from __future__ import annotations

import re
from pathlib import Path

from hearth_build.importing.source import Source
from hearth_build.recipe import RecipeError

VARIANT = re.compile(r"[_-](quantized|q?u?int8|q4f16|q4|bnb4|fp16|O[1-4]|qint8|quint8)([_-].*)?$")
"""The ending of a variant's name: model_quantized, model_qint8_avx512_vnni, model_O2."""
INT8_VARIANT = re.compile(r"[_-](quantized|q?u?int8)([_-].*)?$")
PRECISIONS = ("fp16", "O1", "O2", "O3", "O4", "quantized", "int8")
"""Of folders without the full precision: the best first."""


def choose_graphs(source: Source) -> tuple[Path, Path | None]:
    """The graph in the highest precision, and an int8 variant of it. Raises RecipeError."""
    plain = [path for path in source.graphs if not VARIANT.search(path.stem)]
    int8 = next((path for path in source.graphs if INT8_VARIANT.search(path.stem)), None)
    if len(plain) > 1:
        plain = [path for path in plain if path.stem == "model"][:1] or plain
    if len(plain) > 1:
        names = ", ".join(path.relative_to(source.folder).as_posix() for path in plain)
        raise RecipeError(f"{source.path} has several graphs ({names}), and none is model.onnx. Give one of the files.")
    if plain:
        return plain[0], int8
    ranked = sorted(
        source.graphs, key=lambda path: next((i for i, name in enumerate(PRECISIONS) if name in path.stem), 9)
    )
    return ranked[0], None


def main_graph(source: Source) -> Path:
    """The graph in the highest precision. Raises RecipeError if it cannot be told which one that is."""
    return choose_graphs(source)[0]
