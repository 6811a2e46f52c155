"""Checks of what a bare graph gets, and the largest sizes of its dimensions."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from hearth.models.heads import Ctc, Decoder, Seq2Seq
from hearth.models.manifest import Graph, Tensor
from hearth.models.preprocessing import AudioPreprocessing, ImagePreprocessing, TextPreprocessing
from hearth.tasks.graph import _check_shape, max_size


def manifest_of(preprocessing: Any, head: Any = None, batch: int = 4) -> Any:
    graph = Graph(
        "m.onnx",
        (Tensor("ids", "int64", ("batch", "sequence")), Tensor("past.0", "float32", ("batch", 2, "sequence"))),
        (),
    )
    limits = SimpleNamespace(batch=batch)
    return SimpleNamespace(
        preprocessing=preprocessing, head=head, limits=limits, graphs={"main": graph}, version="1", model="m"
    )


TEXT_MANIFEST = manifest_of(TextPreprocessing("t", 8))


def test_an_empty_cache_is_accepted() -> None:
    empty: dict[str, int] = {}
    _check_shape(TEXT_MANIFEST, Tensor("past.0", "float32", ("rows", "written")), (1, 0), empty)
    assert empty == {"rows": 1, "written": 0}


@pytest.mark.parametrize(
    ("preprocessing", "head", "dimension", "expected"),
    [
        (TextPreprocessing("t", 8), None, "batch", 4),
        (TextPreprocessing("t", 8), None, "sequence", 8),
        (TextPreprocessing("t", 8), Decoder(1, 1, 1, context=77), "capacity", 77),
        (TextPreprocessing("t", 8), Seq2Seq(1, 1, 1, 0, 1, max_new=50, beams=3), "rows", 12),
        (TextPreprocessing("t", 8), Seq2Seq(1, 1, 1, 0, 1, max_new=50, beams=3), "written", 50),
        (TextPreprocessing("t", 80), Seq2Seq(1, 1, 1, 0, 1, max_new=50), "source", 80),
        (TextPreprocessing("t", 8), None, "rows", 8),
        (ImagePreprocessing(32, 16, "stretch", (0.5,) * 3, (0.5,) * 3), None, "side", 32),
        (AudioPreprocessing(8000, 200, 80, 256, 40, 60.0, 3900.0), Ctc(0, chunk_seconds=10), "frames", 1001),
        (AudioPreprocessing(8000, 200, 80, 256, 40, 60.0, 3900.0), None, "frames", 2001),
    ],
)
def test_a_dimension_is_as_large_as_the_task_uses_it(
    preprocessing: Any, head: Any, dimension: str, expected: int
) -> None:
    assert max_size(manifest_of(preprocessing, head), dimension) == expected
