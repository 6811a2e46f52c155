from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer

from hearth_build.data.translation import (
    EOS_ID,
    PAD_ID,
    Pairs,
    joint_bpe,
    read_pairs,
    scripts,
    write_pairs,
)
from tests.export.toy_translation import PAIRS


def test_pairs_are_written_and_read(tmp_path: Path) -> None:
    write_pairs(tmp_path, "train", [("a", "ä")])
    assert read_pairs(tmp_path, "train") == [("a", "ä")]


def test_the_decoder_sees_the_tokens_before_the_one_it_predicts() -> None:
    pairs = Pairs([[5, 1], [6, 7, 1]], [[8, 9, 1], [4, 1]])
    batch = pairs.collate([0, 1], 0.0)
    assert batch["decoder_input_ids"].tolist() == [[PAD_ID, 8, 9], [PAD_ID, 4, 1]]
    assert batch["labels"].tolist() == [8, 9, 1, 4, 1], "padding is not predicted"
    assert batch["target_mask"].sum() == 5


def test_batches_have_about_as_many_target_tokens() -> None:
    torch.manual_seed(0)
    lengths = [2, 3, 4, 20, 21, 22] * 4
    pairs = Pairs([[1]] * 24, [[1] * length for length in lengths])
    plan = pairs.plan(0, 48, 1)
    assert sorted(index for indices in plan for index in indices) == list(range(24))
    sizes = [sum(lengths[index] for index in indices) for indices in plan]
    assert max(sizes) <= 2 * min(sizes)


def test_decoded_tokens_give_the_text(translation_work: Path) -> None:
    tokenizer = Tokenizer.from_file(str(translation_work / "tokenizer.json"))
    for text in (text for pair in PAIRS for text in pair):
        assert tokenizer.decode(tokenizer.encode(text).ids) == text.lower()
    assert tokenizer.encode(">>de<< a man").tokens[0] == ">>de<<"
    assert tokenizer.encode("a man").ids[-1] == EOS_ID


def test_each_chinese_character_is_a_token() -> None:
    tokenizer = joint_bpe(["我喜歡讀書。", "我喜歡讀書。", "I like it."] * 9, 60, lowercase=True, characters=True)
    assert tokenizer.encode("我喜歡").tokens == ["▁", "我", "喜", "歡", "</s>"]
    assert tokenizer.decode(tokenizer.encode("我喜歡。").ids) == "我喜歡。"


def test_scripts_of_a_text() -> None:
    assert scripts("我们读书") == ["zh-Hans"]
    assert scripts("我們讀書") == ["zh-Hant"]
    assert scripts("你好") == ["zh-Hans", "zh-Hant"]
    assert scripts("我们讀書") == []
    assert scripts("hello") == []


def test_batches_hold_every_pair_once_and_are_shifted(translation_work: Path) -> None:
    pairs = Pairs.read(translation_work, "train", 20)
    plan = pairs.plan(epoch=0, size=20, seed=1)
    assert sorted(index for batch in plan for index in batch) == [0, 1, 2, 3]
    assert plan == pairs.plan(0, 20, 1)
    assert len(plan) == len(pairs.plan(1, 20, 1))
    batch = pairs.collate([1, 2], 0.0)
    rows = [pairs.targets[1], pairs.targets[2]]
    assert batch["labels"].tolist() == [*rows[0], *rows[1]]
    assert batch["decoder_input_ids"][0].tolist() == [PAD_ID, *rows[0][:-1]]
    assert batch["decoder_input_ids"][1, : len(rows[1])].tolist() == [PAD_ID, *rows[1][:-1]]
