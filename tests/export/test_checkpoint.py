"""Import of Hugging Face folders, against transformers."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from hearth.manifest import parse
from hearth.model import Model

os.environ["HF_HUB_OFFLINE"] = "1"
transformers = pytest.importorskip("transformers", reason="the export extra (transformers) is not installed")
import torch  # noqa: E402

from export.build import build  # noqa: E402
from export.checkpoints import load  # noqa: E402
from export.recipe import RecipeError  # noqa: E402
from tests.export import toy  # noqa: E402


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hf") / "Tiny_BERT"
    folder.mkdir()
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=1040,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=40,
        initializer_range=0.2,
        id2label={0: "no", 1: "perhaps", 2: "yes"},
        label2id={"no": 0, "perhaps": 1, "yes": 2},
    )
    transformers.BertForSequenceClassification(config).eval().save_pretrained(folder)
    toy.prepare(folder)
    return folder


def test_imported_checkpoint_answers_as_transformers_does(checkpoint: Path, tmp_path: Path) -> None:
    recipe = load(checkpoint)
    folder = build(recipe, tmp_path, "hearth build --from-checkpoint Tiny_BERT")
    manifest = parse((folder / "manifest.json").read_bytes())
    assert (manifest.model, manifest.labels) == ("tiny_bert", ("no", "perhaps", "yes"))
    reference = transformers.BertForSequenceClassification.from_pretrained(checkpoint).eval()
    ids = np.array([[2, 5, 6, 15, 8, 3], [2, 9, 3, 0, 0, 0]])
    feeds = {"input_ids": ids, "attention_mask": (ids > 0).astype(np.int64)}
    with torch.no_grad():
        wanted = reference(**{name: torch.from_numpy(value) for name, value in feeds.items()}).logits.numpy()
    assert np.allclose(Model(manifest, tmp_path / "fp32", threads=1).run(feeds)[0], wanted, atol=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "roberta"}, "model_type 'roberta'"),
        ({"architectures": ["BertForMaskedLM"]}, "BertForSequenceClassification"),
        ({"hidden_act": "relu"}, "hidden_act"),
        ({"id2label": {"0": "a", "2": "b"}}, "id2label"),
    ],
)
def test_other_checkpoints_are_refused(checkpoint: Path, tmp_path: Path, change: dict, message: str) -> None:  # type: ignore[type-arg]
    for path in checkpoint.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    (tmp_path / "config.json").write_text(json.dumps(config | change), encoding="utf-8")
    with pytest.raises(RecipeError, match=message):
        load(tmp_path)


def test_an_incomplete_folder_names_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"config\.json, model\.safetensors, tokenizer\.json"):
        load(tmp_path)
