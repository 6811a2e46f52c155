from __future__ import annotations

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing

from hearth_build.data.text_pairs import TextPairs


def pairs() -> TextPairs:
    tokenizer = Tokenizer(WordLevel({"[PAD]": 0, "[SEP]": 1, "a": 2, "b": 3}, "[PAD]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(pair="$A [SEP] $B:1", special_tokens=[("[SEP]", 1)])
    rows = tokenizer.encode_batch([("a", "b"), ("a a", "b b"), ("b", "a")])
    return TextPairs(rows, {"labels": torch.tensor([5, 6, 7])}, ("input_ids", "token_type_ids", "attention_mask"), 0)


def test_second_texts_are_marked_and_shorter_pairs_are_padded() -> None:
    batch = pairs().collate([1, 0], 0.0)
    assert batch["input_ids"].tolist() == [[2, 2, 1, 3, 3], [2, 1, 3, 0, 0]]
    assert batch["token_type_ids"].tolist() == [[0, 0, 0, 1, 1], [0, 0, 1, 0, 0]]
    assert batch["attention_mask"].tolist() == [[1] * 5, [1, 1, 1, 0, 0]]
    assert batch["labels"].tolist() == [6, 5]
    assert list(pairs().inputs_of(batch)) == ["input_ids", "token_type_ids", "attention_mask"]


def test_each_pair_is_in_one_batch() -> None:
    assert sorted(index for indices in pairs().plan(0, 2, 1) for index in indices) == [0, 1, 2]
