"""Bare graphs: whatever the values, the answer is a result or a 4xx."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from hearth.errors import BadRequest, PayloadTooLarge
from hearth.models.manifest import Graph, Tensor
from hearth.models.preprocessing import TextPreprocessing
from hearth.protocols.open_inference.graph_inference import (
    _check_cache,
    check_feeds,
    to_array,
)
from hearth.protocols.open_inference.request import InputTensor, ParsedRequest
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


def parsed(ids: tuple[int, ...], past: tuple[int, ...], **other: Any) -> ParsedRequest:
    tensors = {"ids": InputTensor("INT64", np.zeros(ids, np.int64), True)}
    tensors["past.0"] = InputTensor("FP32", np.zeros(past, np.float32), True)
    return ParsedRequest(tensors | other, (), "", {})


def test_feeds_have_the_manifests_types_and_shapes() -> None:
    feeds = check_feeds(TEXT_MANIFEST, "main", parsed((4, 8), (4, 2, 8)))
    assert {name: array.shape for name, array in feeds.items()} == {"ids": (4, 8), "past.0": (4, 2, 8)}


@pytest.mark.parametrize(
    ("ids", "past", "kind", "message"),
    [
        ((1, 2, 3), (1, 2, 2), BadRequest, r"'ids' has the shape \[batch, sequence\], not \[1, 2, 3\]"),
        ((1, 3), (1, 3, 3), BadRequest, r"'past.0' has the shape \[batch, 2, sequence\], not \[1, 3, 3\]"),
        ((1, 3), (1, 2, 4), BadRequest, "its sequence is 4, but 3 in another input"),
        ((1, 0), (1, 2, 0), BadRequest, "its sequence is 0; it must be at least 1"),
        ((0, 3), (0, 2, 3), BadRequest, "its batch is 0; it must be at least 1"),
        ((5, 3), (5, 2, 3), PayloadTooLarge, "its batch is 5; at most 4 is allowed"),
        ((1, 9), (1, 2, 9), PayloadTooLarge, "its sequence is 9; at most 8 is allowed"),
    ],
)
def test_other_shapes_are_refused(
    ids: tuple[int, ...], past: tuple[int, ...], kind: type[BadRequest], message: str
) -> None:
    with pytest.raises(kind, match=message):
        check_feeds(TEXT_MANIFEST, "main", parsed(ids, past))


def test_missing_and_unknown_inputs_and_wrong_types_are_named() -> None:
    request = parsed((1, 3), (1, 2, 3))
    extra = InputTensor("FP32", np.zeros(1, np.float32), True)
    with pytest.raises(BadRequest, match=r"There is no input `x`; the inputs are: ids, past\.0"):
        check_feeds(TEXT_MANIFEST, "main", parsed((1, 3), (1, 2, 3), x=extra))
    with pytest.raises(BadRequest, match=r"The input 'ids' is missing; the inputs are: ids, past\.0"):
        check_feeds(TEXT_MANIFEST, "main", ParsedRequest({"past.0": request.tensors["past.0"]}, (), "", {}))
    with pytest.raises(BadRequest, match="Input 'ids' is INT64, not FP32"):
        check_feeds(TEXT_MANIFEST, "main", ParsedRequest(request.tensors | {"ids": extra}, (), "", {}))
    with pytest.raises(BadRequest, match="Version 1 of m has no graph decoder"):
        check_feeds(TEXT_MANIFEST, "decoder", request)


@pytest.mark.parametrize(
    ("new", "total", "capacity", "is_valid"),
    [(2, 2, 4, True), (2, 4, 4, True), (2, 1, 4, False), (2, 5, 4, False), (1, 0, 4, False)],
)
def test_a_language_model_writes_only_within_its_cache(new: int, total: int, capacity: int, is_valid: bool) -> None:
    feeds = {
        "input_ids": np.zeros((1, new), np.int64),
        "total": np.array([total], np.int32),
        "past.0.key": np.zeros((1, 1, capacity, 1), np.float32),
    }
    if is_valid:
        _check_cache(feeds)
    else:
        with pytest.raises(BadRequest, match=f"`total` is {total}; it must count all tokens .* the {new} new"):
            _check_cache(feeds)


def test_strings_become_bytes_and_numbers_stay() -> None:
    tensor = Tensor("x", "string", (2,))
    assert to_array(tensor, np.array([["a", "ü"]], object)).tolist() == [[b"a", "ü".encode()]]
    assert to_array(tensor, np.array(["a"])).tolist() == [b"a"]
    numbers = np.zeros(2)
    assert to_array(Tensor("x", "float32", (2,)), numbers) is numbers
    assert to_array(Tensor("x", "json", ()), [{1: 0.5}]).tolist() == [b'[{"1": 0.5}]']
