"""Bare graphs: whatever the values, the answer is a result or a 4xx."""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from tests.runtime.protocols.open_inference.calls import infer_arrays, zeros


def test_the_cache_of_a_language_model_cannot_be_overrun(client: TestClient) -> None:
    def status_of(total: int, capacity: int, row: int = 0) -> int:
        feeds = zeros("gpt-shakespeare", n=2, k=1, capacity=capacity)
        feeds["input_ids"][:], feeds["total"][:], feeds["rows"][:] = 5, total, row
        return infer_arrays(client, "gpt-shakespeare-raw", feeds)

    context = int(client.get("/models/gpt-shakespeare").json()["head"]["context"])
    assert status_of(total=2, capacity=4) == 200
    for total, capacity in ((5, 4), (1, 4), (0, 4), (-1, 4), (2**31 - 1, 4), (2, 0)):
        assert status_of(total, capacity) == 400
    assert status_of(context + 1, context + 1) == 413
    assert status_of(total=2, capacity=4, row=2) == 400


sizes = st.integers(0, 6)


numbers = st.one_of(st.integers(-3, 40), st.sampled_from([-(2**63), 2**63 - 1, 21127, 21128, 30521, 30522, -30523]))


RAW_MODELS = {
    "sentiment-en-raw": ("input_ids", "attention_mask"),
    "ner-zh-raw": ("input_ids", "attention_mask"),
    "embeddings-en-raw": ("input_ids", "attention_mask"),
    "translate-en-zh-raw": ("input_ids", "attention_mask"),
}


@hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_no_values_break_a_graph(client: TestClient, data: st.DataObject) -> None:
    model = data.draw(st.sampled_from(sorted(RAW_MODELS)))
    shape = data.draw(st.tuples(sizes, sizes))
    arrays = {}
    for name in RAW_MODELS[model]:
        array_shape = data.draw(st.sampled_from([shape, shape, shape, (*shape, 1), shape[:1]]))
        count = int(np.prod(array_shape))
        arrays[name] = np.array(data.draw(st.lists(numbers, min_size=count, max_size=count)), "<i8").reshape(
            array_shape
        )
    assert infer_arrays(client, model, arrays) in (200, 400, 413)


@hypothesis_settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_no_values_break_a_decoder(client: TestClient, data: st.DataObject) -> None:
    sizes = {name: data.draw(st.integers(0, 4)) for name in ("rows", "batch", "source", "written")}
    feeds = zeros("translate-en-zh", "decoder", **sizes)
    for array in feeds.values():
        if array.dtype.kind == "f":
            array[:] = data.draw(st.sampled_from([0.0, 1.0, -1e38, float("nan"), float("inf")]))
        else:
            array[:] = data.draw(numbers)
    assert infer_arrays(client, "translate-en-zh-raw-decoder", feeds) in (200, 400, 413)


@hypothesis_settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_no_values_break_a_language_model(client: TestClient, data: st.DataObject) -> None:
    sizes = {name: data.draw(st.integers(0, maximum)) for name, maximum in (("n", 6), ("k", 4), ("capacity", 8))}
    feeds = zeros("gpt-shakespeare", **sizes)
    for name, array in feeds.items():
        if name.startswith("past"):
            array[:] = data.draw(st.sampled_from([0.0, 1e38]))
        elif name == "input_ids":
            array[0] = data.draw(st.lists(numbers, min_size=sizes["n"], max_size=sizes["n"]))
        else:
            array[:] = data.draw(st.integers(-9, 12))
    assert infer_arrays(client, "gpt-shakespeare-raw", feeds) in (200, 400, 413)
