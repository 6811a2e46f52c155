from __future__ import annotations

from pathlib import Path

import pytest

from hearth_build.importing.graph_choice import choose_graphs
from hearth_build.importing.source import Source
from hearth_build.recipe import RecipeError


def choose(*names: str) -> tuple[str, str | None]:
    folder = Path("/models/a")
    graph, int8 = choose_graphs(Source(folder, "a", {}, tuple(folder / f"{name}.onnx" for name in names)))
    return graph.stem, int8 and int8.stem


@pytest.mark.parametrize(
    ("names", "graph", "int8"),
    [
        (("model", "model_quantized"), "model", "model_quantized"),
        (("model_qint8_avx512_vnni", "model"), "model", "model_qint8_avx512_vnni"),
        (("model", "other"), "model", None),
        (("model_quantized", "model_O2", "model_fp16"), "model_fp16", None),
        (("model_int8", "model_O3"), "model_O3", None),
        (("encoder",), "encoder", None),
    ],
)
def test_the_highest_precision_is_imported(names: tuple[str, ...], graph: str, int8: str | None) -> None:
    assert choose(*names) == (graph, int8)


def test_several_graphs_without_a_main_one_are_refused() -> None:
    with pytest.raises(RecipeError, match=r"several graphs \(first.onnx, second.onnx\).*Give one of the files"):
        choose("first", "second")
