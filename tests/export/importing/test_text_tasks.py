from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from hearth.models.heads import Entailment, Mask, Ranking
from hearth_build.importing.base import ImportOptions
from hearth_build.importing.source import Source
from hearth_build.importing.text_tasks import is_text_encoder, max_tokens, read_task
from hearth_build.recipe import RecipeError
from tests.export.training.checkpoints import word_tokenizer

TOKENIZER: Tokenizer = word_tokenizer(("fine",))


def source(name: str, folder: Path = Path("/models/a"), labels: tuple[str, ...] = (), **config: Any) -> Source:
    numbered = {"id2label": {str(number): label for number, label in enumerate(labels)}} if labels else {}
    fields = {"model_type": "bert", "vocab_size": 9, "architectures": [name], **numbered, **config}
    return Source(folder, "tiny", fields)


def read(given: Source, task: str | None = None) -> Any:
    return read_task(given, ImportOptions(task=task), TOKENIZER, 8)


CLASSIFIER = "BertForSequenceClassification"


@pytest.mark.parametrize(
    ("labels", "config", "task", "activation"),
    [
        (("a", "b"), {}, "text-classification", "softmax"),
        (("a", "b"), {"problem_type": "multi_label_classification"}, "text-classification", "sigmoid"),
        (("a",), {"problem_type": "regression"}, "text-classification", "none"),
        (("a",), {}, "text-ranking", "sigmoid"),
        (("CONTRADICTION", "NEUTRAL", "ENTAILMENT"), {}, "zero-shot-classification", "softmax"),
    ],
)
def test_a_classifier_is_what_its_labels_say(labels: Any, config: Any, task: str, activation: str) -> None:
    made = read(source(CLASSIFIER, labels=labels, **config))
    assert (made.task, made.activation) == (task, activation)


def test_entailment_is_found_with_its_contradiction() -> None:
    assert read(source(CLASSIFIER, labels=("entailment", "neutral", "contradiction"))).head == Entailment(0, 2)
    assert read(source(CLASSIFIER, labels=("not", "entail"))).head == Entailment(1, 0)
    assert read(source(CLASSIFIER, labels=("a",))).head == Ranking()


@pytest.mark.parametrize(
    ("task", "message"),
    [("zero-shot-classification", "has no label .entailment. "), ("text-ranking", "has 2 labels; a model that ranks")],
)
def test_a_task_that_the_labels_do_not_fit_is_refused(task: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        read(source(CLASSIFIER, labels=("a", "b")), task)


def test_the_mask_is_the_tokenizers(tmp_path: Path) -> None:
    assert read(source("BertForMaskedLM", tmp_path)).head == Mask(4)
    (tmp_path / "special_tokens_map.json").write_text(json.dumps({"mask_token": {"content": "<mask>"}}))
    with pytest.raises(RecipeError, match="does not contain the mask token '<mask>'"):
        read(source("BertForMaskedLM", tmp_path))


def test_other_classes_are_refused() -> None:
    with pytest.raises(RecipeError, match="has a BertForNextSentencePrediction, which is none of"):
        read(source("BertForNextSentencePrediction"))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (source("BertModel"), True),
        (source("BertForNextSentencePrediction"), False),
        (source("ViTModel", image_size=32), False),
        (source("BartForSequenceClassification", is_encoder_decoder=True), True),
        (source("BartModel", is_encoder_decoder=True), False),
    ],
)
def test_text_encoders_are_recognised(given: Source, expected: bool) -> None:
    assert is_text_encoder(given, ImportOptions()) is expected


def test_the_longest_text_is_the_smallest_limit(tmp_path: Path) -> None:
    assert max_tokens(source("BertModel", tmp_path)) == 512
    assert max_tokens(source("BertModel", tmp_path, max_position_embeddings=514)) == 514
    roberta = source("RobertaModel", tmp_path, max_position_embeddings=514, pad_token_id=1)
    roberta.config["model_type"] = "roberta"
    assert max_tokens(roberta) == 512
    (tmp_path / "tokenizer_config.json").write_text('{"model_max_length": 1e30}')
    (tmp_path / "sentence_bert_config.json").write_text('{"max_seq_length": 128}')
    assert max_tokens(roberta) == 128
