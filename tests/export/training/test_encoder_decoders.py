"""A small random T5 is fine-tuned to write summaries."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

transformers = pytest.importorskip("transformers", reason="the export extra (transformers) is not installed")

import torch  # noqa: E402

from hearth_build.data.translation import joint_bpe  # noqa: E402
from tests.export.training.running import train_on, write_csv  # noqa: E402

WORDS = [f"word{letter}" for letter in "abcdefghij"]


def rows(count: int) -> list[list[str]]:
    """Texts of filler with one name, which is the summary."""
    generator = random.Random(1)
    texts = []
    for _ in range(count):
        name = generator.choice(["anna", "otto", "mia", "ben"])
        words = generator.choices(WORDS, k=8)
        words.insert(generator.randrange(8), name)
        texts.append([" ".join(words), f"about {name}"])
    return texts


def test_a_checkpoint_learns_to_summarize(tmp_path: Path) -> None:
    data = write_csv(tmp_path / "a.csv", [["article", "highlights"], *rows(160)])
    tokenizer = joint_bpe([text for row in rows(160) for text in row], 200, lowercase=False)
    (tmp_path / "hf").mkdir()
    tokenizer.save(str(tmp_path / "hf/tokenizer.json"))
    torch.manual_seed(1)
    shape = transformers.T5Config(
        vocab_size=tokenizer.get_vocab_size(),
        d_model=32,
        d_kv=8,
        d_ff=64,
        num_layers=1,
        num_heads=4,
        dropout_rate=0.0,
        pad_token_id=0,
        eos_token_id=1,
        decoder_start_token_id=0,
        initializer_factor=0.3,
    )
    transformers.T5ForConditionalGeneration(shape).save_pretrained(tmp_path / "hf")
    manifest, answer = train_on(
        "summarization",
        data,
        tmp_path / "work",
        base=str(tmp_path / "hf"),
        settings={"epochs": 40, "learning_rate": 0.01},
    )
    assert manifest.metrics.served["ROUGE-L (test)"] > 0.45  # "about" alone is a half
    assert answer(rows(1)[0][0]).startswith("about")
    card = (tmp_path / "work/artifact/report.md").read_text()
    assert "the checkpoint as it is" in card
    assert "the beginning of the text" in card
