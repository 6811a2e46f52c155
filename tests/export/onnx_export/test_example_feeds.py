from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hearth.models.manifest import Tensor
from hearth_build.onnx_export import example_feeds
from hearth_build.onnx_export.example_feeds import draw_feeds, to_arrays


def session(answer: Any) -> Any:
    return SimpleNamespace(get_outputs=lambda: [SimpleNamespace(name="y")], run=lambda names, feeds: [answer(**feeds)])


def image(x: np.ndarray) -> np.ndarray:
    """What takes images of 16 x 16 with three channels last."""
    assert x.shape == (1, 16, 16, 3)
    return x.mean((1, 2))


def test_shapes_of_dynamic_dimensions_are_found() -> None:
    inputs = [Tensor(name="x", dtype="float32", shape=("batch", "height", "width", "channels"))]
    feeds = draw_feeds(session(image), inputs, 2)
    assert [to_arrays(inputs, feed)["x"].shape for feed in feeds] == [(1, 16, 16, 3)] * 2
    assert feeds[0] != feeds[1]


def test_indices_stay_within_a_small_table() -> None:
    inputs = [Tensor(name="ids", dtype="int64", shape=(1, "n"))]
    (feed,) = draw_feeds(session(lambda ids: np.eye(2, dtype=np.float32)[ids]), inputs, 1)
    assert set(np.ravel(feed["ids"]).tolist()) <= {0, 1}


@pytest.mark.parametrize("answer", [lambda x: np.random.default_rng().random(3), lambda x: x * np.nan])
def test_graphs_with_random_or_infinite_outputs_have_no_feeds(answer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(example_feeds, "SIZES", (4,))
    assert draw_feeds(session(answer), [Tensor(name="x", dtype="float32", shape=(2,))], 1) == []


def test_the_search_ends_when_its_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(example_feeds, "SECONDS", -1.0)
    assert draw_feeds(session(lambda x: x), [Tensor(name="x", dtype="float32", shape=(2,))], 1) == []


def test_texts_and_maps_are_drawn() -> None:
    inputs = [
        Tensor(name="words", dtype="string", shape=(2,)),
        Tensor(name="map", dtype="json", shape=(), onnx_type="map(string,tensor(float))"),
    ]
    (feed,) = draw_feeds(session(lambda words, map: np.zeros(1)), inputs, 1)
    assert set(feed["words"]) <= set(example_feeds.WORDS)
    assert list(feed["map"]) == list(example_feeds.WORDS[:3])
