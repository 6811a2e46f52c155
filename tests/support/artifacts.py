"""Tiny artifacts with sensible outputs, built in milliseconds and laid out as a `file://` store.

The text model sums one row of scores for each token; the image model weighs the mean of each channel. Both are real
graphs with their weights in an external file, as the pipeline writes them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from hearth.models.download import describe
from hearth.models.manifest import (
    Graph,
    Limits,
    Manifest,
    Metrics,
    Provenance,
    Quantization,
    Reference,
    Tensor,
    dump,
)
from hearth.models.preprocessing import Column, ImagePreprocessing, TablePreprocessing, TextPreprocessing

POSITIVE = ("good", "great", "love", "wonderful", "喜", "欢", "好")
NEGATIVE = ("bad", "awful", "hate", "terrible", "糟", "糕", "坏")
NEUTRAL = ("the", "a", "this", "is", "movie", "film", "我", "这", "个", "电", "影")
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def make_text_artifact(
    folder: Path,
    model: str = "sentiment-en",
    version: str = "1",
    *,
    labels: Sequence[str] = ("negative", "positive"),
    limits: Limits | None = None,
    filler: int = 0,
    rows: int = 0,
) -> Path:
    """Publish a sentiment classifier into the store at `folder` and return the version's own folder.

    Label 0 counts the NEGATIVE words, label 1 the POSITIVE ones; further labels score zero. `filler` is the number of
    random bytes added to `model.bin`, for downloads that must take time. `rows` is the least number of rows of the
    table of scores, for weights that take memory.
    """
    artifact = folder / model / version
    artifact.mkdir(parents=True)
    vocabulary = [*SPECIAL, *NEUTRAL, *NEGATIVE, *POSITIVE]
    scores = np.zeros((max(rows, len(vocabulary)), len(labels)), np.float32)  # (token, label)
    for label, words in enumerate((NEGATIVE, POSITIVE)):
        scores[[vocabulary.index(word) for word in words], label] = 2
    nodes = [
        helper.make_node("Gather", ["scores", "input_ids"], ["token_scores"]),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Einsum", ["mask", "token_scores"], ["logits"], equation="bs,bsl->bl"),
    ]
    graph = Graph(
        path="model.onnx",
        inputs=(
            Tensor("input_ids", "int64", ("batch", "sequence")),
            Tensor("attention_mask", "int64", ("batch", "sequence")),
        ),
        outputs=(Tensor("logits", "float32", ("batch", len(labels))),),
    )
    _write_graph(artifact, graph, nodes, {"scores": scores}, filler)
    _write_tokenizer(artifact / "tokenizer.json", vocabulary)
    manifest = describe_artifact(
        artifact,
        model=model,
        version=version,
        task="text-classification",
        graph=graph,
        preprocessing=TextPreprocessing(tokenizer="tokenizer.json", max_tokens=128),
        labels=tuple(labels),
        limits=limits or Limits(batch=32, characters=10_000),
    )
    return publish(artifact, manifest)


def make_image_artifact(
    folder: Path,
    model: str = "resnet20-cifar10",
    version: str = "1",
    *,
    labels: Sequence[str] = ("red", "green", "blue"),
    limits: Limits | None = None,
    filler: int = 0,
) -> Path:
    """Publish a classifier that names a picture's strongest channel; parameters as in `make_text_artifact`."""
    artifact = folder / model / version
    artifact.mkdir(parents=True)
    weights = np.zeros((3, len(labels)), np.float32)  # (channel, label)
    weights[:3, :3] = 4 * np.eye(3)
    nodes = [
        helper.make_node("ReduceMean", ["pixels"], ["colour"], axes=[2, 3], keepdims=0),
        helper.make_node("MatMul", ["colour", "weights"], ["logits"]),
    ]
    graph = Graph(
        path="model.onnx",
        inputs=(Tensor("pixels", "float32", ("batch", 3, 32, 32)),),
        outputs=(Tensor("logits", "float32", ("batch", len(labels))),),
    )
    _write_graph(artifact, graph, nodes, {"weights": weights}, filler)
    manifest = describe_artifact(
        artifact,
        model=model,
        version=version,
        task="image-classification",
        graph=graph,
        preprocessing=ImagePreprocessing(
            width=32, height=32, resize="stretch", mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25)
        ),
        labels=tuple(labels),
        limits=limits or Limits(batch=8, pixels=4_000_000),
    )
    return publish(artifact, manifest)


TABLE_WEIGHTS, TABLE_BIAS = (2.0, -3.0, 0.5), 10.0


def make_table_artifact(
    folder: Path,
    task: str = "tabular-regression",
    model: str = "",
    *,
    columns: dict[str, tuple[float, ...]] | None = None,
) -> Path:
    """Publish a linear model of the columns `age`, `hours` and `rooms`: its number, or the scores of the labels `low`
    and `high`. `columns` are the usual values of its manifest; none by default."""
    model = model or task
    artifact = folder / model / "1"
    artifact.mkdir(parents=True)
    weights = np.array([TABLE_WEIGHTS], np.float32).T
    bias = np.array([TABLE_BIAS], np.float32)
    labels: tuple[str, ...] = ()
    if task == "tabular-classification":
        labels = ("low", "high")
        weights, bias = np.hstack([-weights, weights]) / 10, np.array([0, 1], np.float32)
    nodes = [
        helper.make_node("MatMul", ["numbers", "weights"], ["products"]),
        helper.make_node("Add", ["products", "bias"], ["scores"]),
    ]
    graph = Graph(
        path="model.onnx",
        inputs=(Tensor("numbers", "float32", ("rows", 3)),),
        outputs=(Tensor("scores", "float32", ("rows", len(labels) or 1)),),
    )
    _write_graph(artifact, graph, nodes, {"weights": weights, "bias": bias}, 0)
    reference = None if columns is None else Reference("tests", 100, {}, columns=columns)
    manifest = describe_artifact(
        artifact,
        model=model,
        version="1",
        task=task,
        graph=graph,
        preprocessing=TablePreprocessing(tuple(Column(name, "numbers") for name in ("age", "hours", "rooms"))),
        labels=labels,
        limits=Limits(batch=100),
        reference=reference,
    )
    return publish(artifact, manifest)


def _write_graph(
    artifact: Path, graph: Graph, nodes: list[NodeProto], weights: dict[str, NDArray[np.generic]], filler: int
) -> None:
    def value_info(tensor: Tensor) -> onnx.ValueInfoProto:
        dtype = {"float32": TensorProto.FLOAT, "int64": TensorProto.INT64}[tensor.dtype]
        return helper.make_tensor_value_info(tensor.name, dtype, tensor.shape)

    initializers = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    inputs, outputs = map(value_info, graph.inputs), map(value_info, graph.outputs)
    network = helper.make_graph(nodes, "main", list(inputs), list(outputs), initializers)
    proto = helper.make_model(network, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    onnx.checker.check_model(proto, full_check=True)
    onnx.save_model(
        proto,
        artifact / graph.path,
        save_as_external_data=True,
        location="model.bin",
        size_threshold=0,
    )
    with (artifact / "model.bin").open("ab") as weights_file:
        weights_file.write(os.urandom(filler))


def _write_tokenizer(path: Path, vocabulary: Sequence[str]) -> None:
    ids = {token: index for index, token in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.WordPiece(ids, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[(token, ids[token]) for token in ("[CLS]", "[SEP]")]
    )
    tokenizer.save(str(path))


def describe_artifact(artifact: Path, *, graph: Graph, **fields: object) -> Manifest:
    """Return a manifest of all files in the folder; `fields` are the manifest's fields about the model."""
    return Manifest(
        files=tuple(describe(path) for path in sorted(artifact.iterdir())),
        graphs={"main": graph},
        licence="Apache-2.0",
        description="A tiny model for tests.",
        provenance=Provenance(recipe="tests", command="tests/support/artifacts.py", seed=0, data=()),
        quantization=Quantization(method="none"),
        metrics=Metrics(dataset="none", torch={}, fp32={}, served={}),
        **fields,  # type: ignore[arg-type]
    )


def publish(artifact: Path, manifest: Manifest) -> Path:
    """Write the manifest last, then point the alias `prod` at this version."""
    (artifact / "manifest.json").write_bytes(dump(manifest))
    aliases = {"prod": {"version": manifest.version}}
    (artifact.parent / "aliases.json").write_text(json.dumps(aliases) + "\n")
    return artifact
