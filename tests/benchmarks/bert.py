"""A BERT-base classifier with random weights: its speed and size are real, its outputs are not.

Build one bucket: `plain/` as quantize_dynamic writes it, `random-bert/1/` as the pipeline publishes it.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from hearth.models.manifest import Graph, Limits, Tensor
from hearth.models.preprocessing import TextPreprocessing
from tests.support.artifacts import describe_artifact, publish
from tests.support.layers import build_once

MODEL = "random-bert"
LABELS = ("negative", "positive")
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
WORDS = 30_522
GRAPH = Graph(
    path="model.onnx",
    inputs=tuple(Tensor(name, "int64", ("batch", "sequence")) for name in ("input_ids", "attention_mask")),
    outputs=(Tensor("logits", "float32", ("batch", len(LABELS))),),
)


def bucket() -> Path:
    """A folder with the bucket `bucket`: the model in both forms and a text for it, built once."""

    def build(folder: Path) -> None:
        make_bucket(folder / "bucket")

    return build_once("benchmark-bert", Path(__file__).read_bytes(), build)


def make_bucket(folder: Path) -> None:
    """Fill `folder` with two models of about 110 MB. Takes a minute."""
    # It imports torch, whose memory must not count towards the process that measures.
    from hearth_build.onnx_export import export

    plain, artifact = folder / "plain", folder / MODEL / "1"
    plain.mkdir(parents=True)
    artifact.mkdir(parents=True)
    _export(folder / "fp32.onnx")
    _quantize(folder / "fp32.onnx", plain / "model.onnx")
    (folder / "fp32.onnx").unlink()
    (folder / "fp32.onnx.data").unlink(missing_ok=True)
    export.optimise(plain / "model.onnx", artifact)
    for target in (plain, artifact):
        _tokenizer().save(str(target / "tokenizer.json"))
    (plain / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"}))
    manifest = describe_artifact(
        artifact,
        model=MODEL,
        version="1",
        task="text-classification",
        graph=GRAPH,
        preprocessing=TextPreprocessing(tokenizer="tokenizer.json", max_tokens=512),
        labels=LABELS,
        limits=Limits(batch=32, characters=10_000),
    )
    publish(artifact, manifest)
    text = folder / "uploads" / MODEL / "text.json"
    text.parent.mkdir(parents=True)
    text.write_text(json.dumps({"inputs": "this is a great movie"}))


def _export(path: Path) -> None:
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(0)
    config = BertConfig(num_labels=len(LABELS), attn_implementation="eager")
    network = BertForSequenceClassification(config).eval()
    example = torch.ones((1, 8), dtype=torch.int64)
    torch.onnx.export(
        network,
        (example, example),
        path,
        input_names=["input_ids", "attention_mask"],
        output_names=["logits"],
        dynamic_axes={name: {0: "batch", 1: "sequence"} for name in ("input_ids", "attention_mask")},
        opset_version=17,
        dynamo=False,
    )


def _quantize(source: Path, target: Path) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(source, target, weight_type=QuantType.QInt8, per_channel=True, reduce_range=True)


def _tokenizer() -> Tokenizer:
    letters = np.random.default_rng(0).integers(ord("a"), ord("z") + 1, (2 * WORDS, 7), dtype=np.uint32)
    words = dict.fromkeys(
        ["this", "is", "a", "great", "movie", *(row.tobytes().decode("utf-32-le") for row in letters)]
    )
    vocabulary = {token: index for index, token in enumerate([*SPECIAL, *words][:WORDS])}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return tokenizer
