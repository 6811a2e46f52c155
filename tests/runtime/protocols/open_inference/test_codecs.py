"""Tasks' requests from tensors, and tensors from their responses."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from msgspec import Struct
from msgspec.structs import replace

from hearth.errors import PayloadTooLarge
from hearth.models.heads import Pooling
from hearth.models.manifest import Limits, Manifest, parse
from hearth.protocols.open_inference import codecs
from hearth.protocols.open_inference.signatures import codec_of
from hearth.task_table import TASKS
from tests.support.artifacts import make_text_artifact


class Parameters(Struct):
    top_k: int | None = None
    candidate_labels: Any = None


class Request(Struct):
    parameters: Parameters


class Score(Struct):
    label: str
    score: float


class Answer(Struct):
    answer: str
    score: float
    start: int
    end: int


class Text(Struct):
    translation_text: str = ""
    generated_text: str = ""
    text: str = ""


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    folder: Path = make_text_artifact(tmp_path_factory.mktemp("m"))
    return parse((folder / "manifest.json").read_bytes())


def test_a_classifier_gives_all_scores_in_the_manifests_order(manifest: Manifest) -> None:
    codec = codec_of("text-classification")
    request = Request(Parameters(top_k=1))
    assert codec.inputs == ("text",)
    assert not codec.binary
    assert codec.with_all_scores(request, manifest).parameters.top_k == 2
    rows = [[Score("positive", 0.9), Score("negative", 0.1)], [Score("negative", 0.8), Score("positive", 0.2)]]
    assert codec.as_requested(request, rows) == [[rows[0][0]], [rows[1][0]]]
    assert codec.as_requested(Request(Parameters()), rows) == rows
    array = codec.to_array("scores", rows, codec.labels(manifest, request))
    assert array.dtype == np.float32
    np.testing.assert_allclose(array, [[0.1, 0.9], [0.8, 0.2]], rtol=1e-6)
    assert [(output.name, output.datatype, output.shape) for output in codec.outputs(manifest)] == [
        ("scores", "FP32", (-1, 2))
    ]


def test_candidates_are_in_the_order_of_the_request(manifest: Manifest) -> None:
    codec = codecs.CandidateScoresCodec(TASKS["zero-shot-classification"])
    request = Request(Parameters(candidate_labels=" sport, art "))
    assert codec.labels(manifest, request) == ["sport", "art"]
    assert codec.labels(manifest, Request(Parameters(candidate_labels=["a", "b"]))) == ["a", "b"]
    assert codec.with_all_scores(request, manifest) is request
    rows = [[Score("art", 0.75), Score("sport", 0.25)]]
    assert codec.as_requested(request, rows) is rows
    assert codec.to_array("scores", rows, ["sport", "art"]).tolist() == [[0.25, 0.75]]
    assert codec.outputs(manifest)[0].shape == (-1, -1)


def test_answers_are_columns(manifest: Manifest) -> None:
    codec = codec_of("question-answering")
    assert codec.inputs == ("question", "context")
    columns = {"question": ["q1", "q2"], "context": ["c1", "c2"]}
    pairs = [{"question": "q1", "context": "c1"}, {"question": "q2", "context": "c2"}]
    assert codec.documents(columns, {"top_k": 1}) == [{"inputs": pairs, "parameters": {"top_k": 1}}]
    rows = [Answer("a", 0.5, 1, 2), [Answer("b", 0.25, 3, 4), Answer("c", 0.1, 5, 6)]]
    assert codec.to_array("answer", rows, ()).tolist() == [b"a", b"b"]
    scores, starts, ends = (codec.to_array(name, rows, ()) for name in ("score", "start", "end"))
    assert (scores.tolist(), scores.dtype) == ([0.5, 0.25], np.float32)
    assert (starts.tolist(), starts.dtype) == ([1, 3], np.int64)
    assert (ends.tolist(), ends.dtype) == ([2, 4], np.int64)
    assert [(output.name, output.datatype) for output in codec.outputs(manifest)] == [
        ("answer", "BYTES"),
        ("score", "FP32"),
        ("start", "INT64"),
        ("end", "INT64"),
    ]
    assert {output.shape for output in codec.outputs(manifest)} == {(-1,)}


def test_vectors_have_the_models_dimensions(manifest: Manifest) -> None:
    codec = codec_of("feature-extraction")
    assert codec.outputs(manifest)[0].shape == (-1, -1)
    pooled: Any = SimpleNamespace(head=Pooling("mean", True, 3))
    assert codec.outputs(pooled)[0].shape == (-1, 3)
    assert codec.outputs(pooled)[0].name == "embedding"
    array = codec.to_array("embedding", [[1, 2, 3]], ())
    assert (array.tolist(), array.dtype) == ([[1, 2, 3]], np.float32)


def test_similarities_take_the_source_from_the_parameters(manifest: Manifest) -> None:
    codec = codec_of("sentence-similarity")
    parameters = {"source_sentence": "s", "x": 1}
    assert codec.documents({"text": ["a", "b"]}, parameters) == [
        {"inputs": {"sentences": ["a", "b"], "source_sentence": "s"}, "parameters": {"x": 1}}
    ]
    assert parameters == {"source_sentence": "s", "x": 1}
    assert codec.documents({"text": ["a"]}, {}) == [{"inputs": {"sentences": ["a"]}, "parameters": {}}]
    assert codec.outputs(manifest)[0].shape == (-1,)
    assert codec.to_array("scores", [0.5], ()).dtype == np.float32


@pytest.mark.parametrize(
    ("task", "output", "field", "single"),
    [
        ("translation", "translation_text", "translation_text", False),
        ("text-generation", "generated_text", "generated_text", True),
        ("automatic-speech-recognition", "transcript", "text", True),
    ],
)
def test_texts_are_bytes(manifest: Manifest, task: str, output: str, field: str, single: bool) -> None:
    codec = codec_of(task)
    metadata = codec.outputs(manifest)
    assert [(entry.name, entry.datatype, entry.shape) for entry in metadata] == [(output, "BYTES", (-1,))]
    assert codec.to_array(output, [Text(**{field: "ü"}), Text()], ()).tolist() == ["ü".encode(), b""]
    documents = codec.documents({codec.inputs[0]: ["a", "b"]}, {"x": 1})
    expected = [{"inputs": item, "parameters": {"x": 1}} for item in ("a", "b")]
    assert documents == (expected if single else [{"inputs": ["a", "b"], "parameters": {"x": 1}}])


def test_the_items_of_a_response_are_one_for_each_input() -> None:
    assert codec_of("text-classification").items(None, ("a", "b")) == ["a", "b"]
    assert codec_of("text-generation").items(None, ["a"]) == ["a"]
    assert codec_of("automatic-speech-recognition").items(None, "whole") == ["whole"]


def test_a_task_without_typed_outputs_has_only_json(manifest: Manifest) -> None:
    codec = codecs.JsonCodec(TASKS["token-classification"])
    assert codec.outputs(manifest) == ()
    assert codec.with_all_scores("request", manifest) == "request"
    assert codec.as_requested("request", [1]) == [1]
    assert codec.labels(manifest, "request") == manifest.labels
    with pytest.raises(NotImplementedError):
        codec.to_array("x", [], ())


def test_more_items_than_a_batch_are_refused(manifest: Manifest) -> None:
    small = replace(manifest, limits=Limits(batch=2))
    codecs.check_batch(small, 2)
    with pytest.raises(PayloadTooLarge, match="The request has 3 items; 2 are allowed"):
        codecs.check_batch(small, 3)
