"""Import of Hugging Face folders: from a saved checkpoint to an artifact, and what is refused.

That each head answers as transformers does, the tests of its function say (tests/functions).
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from hearth.models.cache import warm_cache
from hearth.models.manifest import Entailment, Mask, Spans, Tagging, parse

os.environ["HF_HUB_OFFLINE"] = "1"
transformers = pytest.importorskip("transformers", reason="the export extra (transformers) is not installed")

import torch  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402

from hearth import settings  # noqa: E402
from hearth.storage.open import open_store  # noqa: E402
from hearth_build.checkpoints import bert, load  # noqa: E402
from hearth_build.pipeline.build import build  # noqa: E402
from hearth_build.pipeline.evaluation import evaluation_of  # noqa: E402
from hearth_build.recipe import RecipeError  # noqa: E402
from hearth_build.release.publish import publish  # noqa: E402
from tests.functions import checkpoints  # noqa: E402

NLI = {"id2label": {0: "entailment", 1: "neutral", 2: "contradiction"}}
NAMES = {"id2label": {0: "O", 1: "B-PER", 2: "I-PER"}}
MANY = {"id2label": {0: "rude", 1: "kind"}, "problem_type": "multi_label_classification"}


@pytest.mark.parametrize(
    ("kind", "config", "task", "head"),
    [
        ("BertForSequenceClassification", MANY, "text-classification", None),
        ("BertForSequenceClassification", NLI, "zero-shot-classification", Entailment(0, 2)),
        ("BertForTokenClassification", NAMES, "token-classification", Tagging(stride=10)),
        ("BertForMaskedLM", {}, "fill-mask", Mask(token_id=4)),
        ("BertForQuestionAnswering", {}, "question-answering", Spans(stride=10)),
    ],
)
def test_a_folder_becomes_an_artifact_that_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, config: dict[str, Any], task: str, head: Any
) -> None:
    checkpoints.save(tmp_path / "Tiny_BERT", kind, initializer_range=0.1, **config)
    recipe = load(tmp_path / "Tiny_BERT")
    folder = build(recipe, tmp_path / "work", "hearth build --from-checkpoint Tiny_BERT")
    manifest = parse((folder / "manifest.json").read_bytes())
    assert (manifest.model, manifest.task, manifest.head) == ("tiny_bert", task, head)
    assert manifest.labels == tuple(config.get("id2label", {}).values())
    assert manifest.activation == ("sigmoid" if config is MANY else "softmax")
    assert manifest.metrics.fp32["largest golden difference"] < 1e-4
    assert manifest.metrics.served["largest golden difference"] < recipe.gate.difference

    publish(open_store((tmp_path / "store").as_uri()), folder, "prod")
    monkeypatch.setenv("HEARTH_STORE", (tmp_path / "store").as_uri())
    monkeypatch.setenv("HEARTH_CACHE_DIR", str(tmp_path / "cache"))
    settings.get.cache_clear()
    warm_cache.cache_clear()
    evaluation = evaluation_of(task)
    with warm_cache().get("tiny_bert") as model:
        for inputs in recipe.golden():
            assert isinstance(evaluation.brief(evaluation.answer(model, inputs)), str)
    warm_cache.cache_clear()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hf")
    checkpoints.save(folder, "BertForMaskedLM")
    return folder


def changed(checkpoint: Path, folder: Path, change: dict[str, Any]) -> Path:
    for path in checkpoint.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps(config | change), encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "roberta"}, "model_type 'roberta'; supported are: bert"),
        ({"architectures": ["BertForNextSentencePrediction"]}, "BertForSequenceClassification, "),
        ({"architectures": ["BertModel"]}, "modules.json"),
        ({"architectures": None}, "must name exactly one class"),
        ({"hidden_act": "relu"}, "hidden_act"),
        ({"architectures": ["BertForTokenClassification"], "id2label": {"0": "a", "2": "b"}}, "id2label"),
        ({"tie_word_embeddings": False}, "tie_word_embeddings"),
    ],
)
def test_other_checkpoints_are_refused(checkpoint: Path, tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load(changed(checkpoint, tmp_path, change))


def test_weights_of_another_head_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    folder = changed(checkpoint, tmp_path, {"architectures": ["BertForQuestionAnswering"]})
    network = load(folder).network
    assert network is not None
    with pytest.raises(RecipeError, match="does not fit"):
        network(tmp_path)


def test_old_names_and_weights_of_pre_training_are_read(checkpoint: Path, tmp_path: Path) -> None:
    """As in the first BERT checkpoints: gamma and beta, a pooler, a head for the next sentence."""
    folder = changed(checkpoint, tmp_path, {})
    weights = load_file(folder / "model.safetensors")
    wanted = {name: value.clone() for name, value in weights.items()}
    old = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): value
        for name, value in weights.items()
    }
    more = {"bert.pooler.dense.bias": wanted["bert.embeddings.LayerNorm.bias"].clone()}
    save_file(
        old | more | {"cls.seq_relationship.bias": more["bert.pooler.dense.bias"].clone()}, folder / "model.safetensors"
    )
    network = load(folder).network
    assert network is not None
    found = network(tmp_path).state_dict()
    assert all(found[name].equal(value) for name, value in wanted.items() if not name.startswith(bert.IGNORED_WEIGHTS))


def test_an_incomplete_folder_names_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"config\.json, model\.safetensors, tokenizer\.json"):
        load(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"")
    (tmp_path / "tokenizer.json").write_text("{}", encoding="utf-8")
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(RecipeError, match="model_type"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("head", "outputs"),
    [
        ("SequenceClassification", ["logits"]),
        ("TokenClassification", ["logits"]),
        ("MaskedLM", ["logits"]),
        ("QuestionAnswering", ["start_logits", "end_logits"]),
    ],
)
def test_distilbert_is_read_as_a_bert(tmp_path: Path, head: str, outputs: list[str]) -> None:
    checkpoints.save(tmp_path, f"BertFor{head}")  # for its tokenizer
    torch.manual_seed(1)
    size = {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64, "max_position_embeddings": 40}
    config = transformers.DistilBertConfig(vocab_size=len(checkpoints.VOCABULARY), initializer_range=0.3, **size)
    reference = getattr(transformers, f"DistilBertFor{head}")(config).eval()
    reference.save_pretrained(tmp_path)
    recipe = load(tmp_path, "small")
    assert recipe.network is not None
    network = recipe.network(tmp_path).eval()
    feeds = {"input_ids": torch.tensor([[2, 9, 4, 8, 3], [2, 4, 3, 0, 0]])}
    feeds["attention_mask"] = (feeds["input_ids"] > 0).long()
    with torch.no_grad():
        wanted = reference(**feeds)
        given = network(**feeds, **{"token_type_ids": torch.ones(2, 5).long()} if "Question" in head else {})
    for name, found in zip(outputs, given if isinstance(given, tuple) else (given,), strict=True):
        expected = wanted[name]
        if head == "MaskedLM":
            expected = expected[feeds["input_ids"] == 4]
        inside = feeds["attention_mask"].bool() if expected.shape[:2] == (2, 5) else ...
        assert torch.allclose(found[inside], expected[inside], atol=1e-4)
