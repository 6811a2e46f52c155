"""summarization and text2text-generation against transformers' `generate` with the checkpoints' own settings."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"
transformers = pytest.importorskip("transformers", reason="the export extra (transformers) is not installed")

import torch  # noqa: E402

from hearth.models.heads import Seq2Seq  # noqa: E402
from hearth.models.model import Model  # noqa: E402
from hearth.tasks import seq2seq  # noqa: E402
from hearth_build.data.translation import joint_bpe  # noqa: E402
from hearth_functions.summarization import app as summarization  # noqa: E402
from hearth_functions.text2text_generation import app as text2text  # noqa: E402
from hearth_functions.translation import app as translation  # noqa: E402
from tests.functions import checkpoints  # noqa: E402

TEXTS = (
    "a man in a blue shirt is standing on a ladder .",
    "two dogs play .",
    "a group of people are sitting in a large room with many windows and talking to a child .",
)
SIZE = {
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
    "max_position_embeddings": 64,
    "init_std": 0.5,
}
IDS = {
    "pad_token_id": 0,
    "eos_token_id": 1,
    "bos_token_id": 2,
    "decoder_start_token_id": 1,
    "forced_eos_token_id": None,
}
SETTINGS = {
    "num_beams": 4,
    "max_length": 20,
    "min_length": 8,
    "no_repeat_ngram_size": 2,
    "length_penalty": 2.0,
    "early_stopping": True,
    "repetition_penalty": 1.3,
    "forced_bos_token_id": 2,
    "forced_eos_token_id": 1,
}
"""What summarizers such as BART's set."""


def save(folder: Path, model_class: str, config_class: str, special: list[str], **config: Any) -> Any:
    folder.mkdir(parents=True)
    tokenizer = joint_bpe(TEXTS * 3, 120, lowercase=True, special=special)
    tokenizer.save(str(folder / "tokenizer.json"))
    torch.manual_seed(5)
    settings = {"vocab_size": tokenizer.get_vocab_size()} | config
    network = getattr(transformers, model_class)(getattr(transformers, config_class)(**settings)).eval()
    network.save_pretrained(folder)
    return network


def generate(network: Any, feeds: dict[str, Any], **options: Any) -> list[list[int]]:
    """transformers' tokens without the start token and what follows the end token."""
    with torch.no_grad():
        rows = network.generate(**{name: torch.from_numpy(value) for name, value in feeds.items()}, **options)
    sequences = [row[1:].tolist() for row in rows]
    return [row[: row.index(1)] if 1 in row else row for row in sequences]


@pytest.fixture(scope="module")
def bart(tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, Any]:
    folder = tmp_path_factory.mktemp("bart")
    network = save(folder / "hf", "BartForConditionalGeneration", "BartConfig", [], **SIZE, **IDS)
    network.generation_config.update(**SETTINGS)
    network.config.task_specific_params = {"summarization": {"max_length": 20}}
    network.save_pretrained(folder / "hf")
    return checkpoints.build_model(folder / "hf", folder / "work"), network


def test_a_summarizers_tokens_equal_those_of_transformers(bart: tuple[Model, Any]) -> None:
    model, network = bart
    head = model.manifest.head
    assert isinstance(head, Seq2Seq)
    assert (model.manifest.task, head.beams, head.max_new, head.no_repeat_ngram) == ("summarization", 4, 19, 2)
    request = summarization.Request(list(TEXTS))
    feeds = summarization.encode(model, request)
    expected = generate(network, feeds)
    assert seq2seq.generate(model, request.parameters, feeds) == expected
    greedy = seq2seq.Parameters(num_beams=1)
    assert seq2seq.generate(model, greedy, feeds) == generate(network, feeds, num_beams=1, early_stopping=False)
    summaries = summarization.predict(model, request).output
    assert [summary.summary_text for summary in summaries] == model.tokenizer.decode_batch(expected)


def test_t5_reads_the_prefix_of_its_task(tmp_path: Path) -> None:
    size = {"d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4}
    network = save(
        tmp_path / "hf", "T5ForConditionalGeneration", "T5Config", [], **size, pad_token_id=0, eos_token_id=1
    )
    network.config.task_specific_params = {"summarization": {"prefix": "dogs play: ", "num_beams": 2}}
    network.generation_config.decoder_start_token_id = 0
    network.save_pretrained(tmp_path / "hf")
    model = checkpoints.build_model(tmp_path / "hf", tmp_path / "work")
    assert model.manifest.task == "summarization"
    feeds = summarization.encode(model, summarization.Request(TEXTS[0]))
    assert feeds["input_ids"][0].tolist() == model.tokenizer.encode("dogs play: " + TEXTS[0]).ids
    options = {"num_beams": 2, "max_new_tokens": 10}
    actual = seq2seq.generate(model, seq2seq.Parameters(max_new_tokens=10), feeds)
    assert actual == generate(network, feeds, **options)
    request = text2text.Request(TEXTS[1], seq2seq.Parameters(max_new_tokens=5))
    assert isinstance(text2text.predict(model, request).output[0].generated_text, str)


def test_a_multilingual_translator_begins_with_the_target_language(tmp_path: Path) -> None:
    special = ["eng_Latn", "deu_Latn", "fra_Latn"]
    network = save(tmp_path / "hf", "M2M100ForConditionalGeneration", "M2M100Config", special, **SIZE, **IDS)
    model = checkpoints.build_model(tmp_path / "hf", tmp_path / "work")
    head = model.manifest.head
    assert isinstance(head, Seq2Seq)
    assert set(head.target) == set(head.source) == set(special)
    for language in special:
        request = translation.Request(TEXTS[0], translation.Parameters(tgt_lang=language, max_new_tokens=8))
        feeds = translation.encode(model, request)
        expected = generate(network, feeds, forced_bos_token_id=head.language_ids[language], max_new_tokens=8)
        chosen = translation.target_id(model, request.parameters)
        assert seq2seq.generate(model, request.parameters, feeds, chosen) == expected
        assert expected[0][0] == head.language_ids[language]
