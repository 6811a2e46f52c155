"""Import of Hugging Face folders: from a saved checkpoint to an artifact, and what is refused.

tests/functions compares the outputs of each head with those of transformers.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from hearth.models.cache import warm_cache
from hearth.models.heads import Entailment, Mask, Spans, Tagging

os.environ["HF_HUB_OFFLINE"] = "1"
transformers = pytest.importorskip("transformers", reason="the export extra (transformers) is not installed")

import torch  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402

from hearth import settings  # noqa: E402
from hearth.storage.open import open_store  # noqa: E402
from hearth_build.pipeline.evaluation import evaluation_of  # noqa: E402
from hearth_build.pipeline.precision import build_import  # noqa: E402
from hearth_build.recipe import RecipeError  # noqa: E402
from hearth_build.release.publish import publish  # noqa: E402
from tests.functions import checkpoints  # noqa: E402
from tests.functions.checkpoints import load  # noqa: E402

NLI = {"id2label": {0: "entailment", 1: "neutral", 2: "contradiction"}}
NAMES = {"id2label": {0: "O", 1: "B-PER", 2: "I-PER"}}
MANY = {"id2label": {0: "rude", 1: "kind"}, "problem_type": "multi_label_classification"}


@pytest.mark.parametrize(
    ("model_class", "config", "task", "head"),
    [
        ("BertForSequenceClassification", MANY, "text-classification", None),
        ("BertForSequenceClassification", NLI, "zero-shot-classification", Entailment(0, 2)),
        ("BertForTokenClassification", NAMES, "token-classification", Tagging(stride=10)),
        ("BertForMaskedLM", {}, "fill-mask", Mask(token_id=4)),
        ("BertForQuestionAnswering", {}, "question-answering", Spans(stride=10)),
    ],
)
def test_a_checkpoint_becomes_an_artifact_that_predicts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model_class: str, config: dict[str, Any], task: str, head: Any
) -> None:
    checkpoints.save(tmp_path / "Tiny_BERT", model_class, initializer_range=0.1, **config)
    recipe = checkpoints.load(tmp_path / "Tiny_BERT")
    manifest, _ = build_import(recipe, {}, tmp_path / "work", "hearth import Tiny_BERT")
    folder = tmp_path / "work" / "artifact"
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
            assert isinstance(evaluation.summarize(evaluation.predict(model, inputs)), str)
    warm_cache.cache_clear()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hf")
    checkpoints.save(folder, "BertForMaskedLM")
    return folder


def copy_with_config(checkpoint: Path, folder: Path, change: dict[str, Any]) -> Path:
    for path in checkpoint.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps(config | change), encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architectures": ["BertForNextSentencePrediction"]}, "BertForNextSentencePrediction .*cannot be imported"),
        ({"architectures": None}, "names no class"),
        ({"architectures": ["BertForTokenClassification"], "id2label": {"0": "a", "2": "b"}}, "id2label"),
        ({"architectures": ["BertForMaskedLanguage"], "auto_map": {"AutoModel": "code.Bert"}}, "cannot be imported"),
    ],
)
def test_an_unsupported_checkpoint_is_refused(
    checkpoint: Path, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        load(copy_with_config(checkpoint, tmp_path, change))


def test_weights_of_another_head_are_a_recipe_error(checkpoint: Path, tmp_path: Path) -> None:
    folder = copy_with_config(checkpoint, tmp_path, {"architectures": ["BertForQuestionAnswering"]})
    network = load(folder).network
    assert network is not None
    with pytest.raises(RecipeError, match="does not fit"):
        network(tmp_path)


def test_old_weight_names_and_pretraining_heads_are_read(checkpoint: Path, tmp_path: Path) -> None:
    """The first BERT checkpoints have gamma and beta, and a head for the next sentence."""
    folder = copy_with_config(checkpoint, tmp_path, {})
    weights = load_file(folder / "model.safetensors")
    old_names = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): value
        for name, value in weights.items()
    }
    assert old_names.keys() != weights.keys()
    next_sentence = {"cls.seq_relationship.bias": torch.zeros(2)}
    save_file(old_names | next_sentence, folder / "model.safetensors", metadata={"format": "pt"})
    feeds = {"input_ids": torch.tensor([[2, 9, 4, 8, 3]]), "attention_mask": torch.ones(1, 5).long()}
    outputs = []
    for path in (folder, checkpoint):
        network = load(path).network
        assert network is not None
        with torch.no_grad():
            outputs.append(network(tmp_path)(**feeds))
    assert torch.equal(*outputs)


def test_an_incomplete_folder_error_names_the_missing_files(checkpoint: Path, tmp_path: Path) -> None:
    folder = copy_with_config(checkpoint, tmp_path, {})
    (folder / "tokenizer.json").unlink()
    with pytest.raises(RecipeError, match=r"has no tokenizer\.json"):
        load(folder)


@pytest.mark.parametrize(
    ("head", "names"),
    [
        ("SequenceClassification", ["logits"]),
        ("TokenClassification", ["logits"]),
        ("MaskedLM", ["logits"]),
        ("QuestionAnswering", ["start_logits", "end_logits"]),
    ],
)
def test_distilbert_predicts_as_transformers_does(tmp_path: Path, head: str, names: list[str]) -> None:
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
        reference_outputs = reference(**feeds)
        outputs = network(**feeds, **{"token_type_ids": torch.ones(2, 5).long()} if "Question" in head else {})
    for name, output in zip(names, outputs if isinstance(outputs, tuple) else (outputs,), strict=True):
        expected = reference_outputs[name]
        if head == "MaskedLM":
            expected = expected[feeds["input_ids"] == 4]
        mask = feeds["attention_mask"].bool() if expected.shape[:2] == (2, 5) else ...
        assert torch.allclose(output[mask], expected[mask], atol=1e-4)
