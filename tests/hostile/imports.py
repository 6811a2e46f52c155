"""Small models with random weights as `hearth import` makes them, for the tasks that neither the zoo nor a hand-written
graph covers: ranking, summaries, segments, pictures beside texts, speech by Whisper, tables and bare tensors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from onnx import TensorProto, helper, save_model

from hearth.storage.open import open_store
from hearth_build.data.translation import joint_bpe
from hearth_build.importing import read
from hearth_build.importing.base import ImportOptions
from hearth_build.pipeline.precision import build_import
from hearth_build.release.publish import publish
from tests.functions import checkpoints

TEXTS = ("two dogs run on the beach", "a man plays a guitar", "children play football in the park")
LABELS = {"id2label": {0: "cat", 1: "dog", 2: "cow"}, "label2id": {"cat": 0, "dog": 1, "cow": 2}}
LAYERS = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
BOTH = {
    "d_model": 32,
    **{f"{side}_{key}": value for side in ("encoder", "decoder") for key, value in (("layers", 1), ("ffn_dim", 48))},
    **{f"{side}_attention_heads": 2 for side in ("encoder", "decoder")},
    "decoder_start_token_id": 0,
    "bos_token_id": 0,
    "pad_token_id": 0,
    "eos_token_id": 1,
}
SIZE = {"size": {"height": 64, "width": 64}}


def vocabulary(folder: Path) -> int:
    """Save a tokenizer; returns its number of tokens."""
    tokenizer = joint_bpe(list(TEXTS) * 3, 120, lowercase=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    return int(tokenizer.get_vocab_size())


def save(folder: Path, kind: str, config: Any, processor: Any = None) -> Path:
    torch.manual_seed(0)
    getattr(transformers, kind)(config).eval().save_pretrained(folder)
    if processor is not None:
        processor.save_pretrained(folder)
    return folder


def ranks(folder: Path) -> Path:
    checkpoints.save(folder, "BertForSequenceClassification", num_labels=1)
    return folder


def summarizes(folder: Path) -> Path:
    config = transformers.BartConfig(vocab_size=vocabulary(folder), max_position_embeddings=64, **BOTH)
    return save(folder, "BartForConditionalGeneration", config)


def segments(folder: Path) -> Path:
    shape = {"hidden_sizes": [8, 8, 16, 16], "depths": [1] * 4, "num_attention_heads": [1, 1, 2, 2]}
    config = transformers.SegformerConfig(**shape, decoder_hidden_size=16, **LABELS)
    return save(folder, "SegformerForSemanticSegmentation", config, transformers.SegformerImageProcessorPil(**SIZE))


def pictures(folder: Path) -> Path:
    text = {"vocab_size": vocabulary(folder), "max_position_embeddings": 32, "eos_token_id": 1, **LAYERS}
    vision = {"image_size": 64, "patch_size": 16, **LAYERS}
    config = transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=16)
    crop = {"size": {"shortest_edge": 64}, "crop_size": {"height": 64, "width": 64}}
    return save(folder, "CLIPModel", config, transformers.CLIPImageProcessorPil(**crop))


def hears(folder: Path) -> Path:
    size = {"max_source_positions": 1500, "max_target_positions": 32}
    config = transformers.WhisperConfig(vocab_size=vocabulary(folder), **size, **BOTH)
    return save(folder, "WhisperForConditionalGeneration", config, transformers.WhisperFeatureExtractor())


def table(folder: Path) -> Path:
    from skl2onnx import to_onnx
    from sklearn.linear_model import LogisticRegression

    generator = np.random.default_rng(0)
    rows = generator.normal(size=(40, 3)).astype(np.float32)
    model = LogisticRegression().fit(rows, np.where(rows[:, 0] > 0, "yes", "no"))
    path = folder / "table.onnx"
    path.write_bytes(to_onnx(model, rows[:1]).SerializeToString())
    return path


def tensors(folder: Path) -> Path:
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 3]) for name in ("x", "y"))
    graph = helper.make_graph([helper.make_node("Neg", ["x"], ["y"])], "negative", [x], [y])
    path = folder / "tensors.onnx"
    save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


MODELS: dict[str, Callable[[Path], Path]] = {
    make.__name__: make for make in (ranks, summarizes, segments, pictures, hears, table, tensors)
}
OPTIONS = {"tensors": {"task": "tensors"}}


def put(work: Path, store: Path) -> None:
    """Import each of MODELS in `work` and publish it into the folder `store`, under its own name."""
    for name, make in MODELS.items():
        (work / name).mkdir(parents=True, exist_ok=True)
        imported = read(str(make(work / name)), ImportOptions(name=name, **OPTIONS.get(name, {})))
        build_import(imported.recipe, imported.quantizers, work / name / "built", "hearth import", "fp32")
        publish(open_store(store.as_uri()), work / name / "built" / "artifact", alias="prod")
