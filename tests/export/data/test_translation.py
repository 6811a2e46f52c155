from __future__ import annotations

from pathlib import Path

import torch

from hearth_build.data.translation import (
    EOS_ID,
    PAD_ID,
    Pairs,
    joint_bpe,
    language_token,
    read_pairs,
    scripts,
    write_pairs,
)


def test_texts_of_one_script_are_recognised() -> None:
    assert scripts("A dog") == []
    assert scripts("我读书") == ["zh-Hans"]
    assert scripts("我讀書 here") == ["zh-Hant"]
    assert scripts("人") == ["zh-Hans", "zh-Hant"]
    assert language_token("zh-Hans") == ">>zh-Hans<<"


def test_words_are_restored_and_special_tokens_are_never_split() -> None:
    texts = ["A man walks.", "Ein Mann geht."] * 5
    tokenizer = joint_bpe(texts, 80, lowercase=True, special=[language_token("de")])
    encoding = tokenizer.encode(">>de<< A  man walks.")
    assert encoding.tokens[0] == ">>de<<"
    assert encoding.ids[-1] == EOS_ID
    assert tokenizer.decode(tokenizer.encode("Ein Mann").ids) == "ein mann"
    characters = joint_bpe(["一只狗"] * 5, 80, lowercase=True, characters=True)
    assert set(characters.encode("一只狗").tokens) >= {"只", "狗"}


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
