"""The recipe ner-zh: its data, its batches and its network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer

from hearth.ops.text.entities import gather_pre_entities
from hearth_build.data.tagged_texts import UNKNOWN, character_tokenizer
from hearth_build.data.text import pad
from hearth_build.networks.character_tagger import Tagger
from hearth_build.recipes.ner_zh import data

LINES = ["中\tB-LOC", "国\tI-LOC", "Ａ\tO", "㎏\tB-ORG", "", "王\tB-PER", "明\tI-PER", "到\tO"]


def test_labels_follow_characters_through_the_tokenizer(tmp_path: Path) -> None:
    sentences = data.parse(LINES)
    assert sentences[1] == ("王明到", ["B-PER", "I-PER", "O"])
    assert data.spans(sentences[0][1]) == [[0, 2, "LOC"], [3, 4, "ORG"]]
    character_tokenizer([text for text, _ in sentences] * 2).save(str(tmp_path / "tokenizer.json"))
    ids, numbers = data.rows_of(tmp_path, sentences)[0]
    # A character that becomes two tokens begins its entity only once.
    assert [data.LABELS[number] for number in numbers] == ["B-LOC", "I-LOC", "O", "B-ORG", "I-ORG"]
    assert len(ids) == 5
    tokenizer = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    row = tokenizer.encode("王☃ 国")
    assert row.tokens == ["王", UNKNOWN, " ", "国"]
    pieces = gather_pre_entities(tokenizer, row, "王☃ 国", np.zeros((4, 7), np.float32))
    assert [(piece.word, piece.is_subword) for piece in pieces] == [(letter, False) for letter in "王☃ 国"]


def test_padding_changes_no_output() -> None:
    torch.manual_seed(0)
    network = Tagger(len(data.LABELS), data.VOCABULARY).eval()
    rows = [[5, 9, 4, 17, 3], [8, 2]]
    with torch.no_grad():
        batched = network(**pad(rows))
        alone = network(**pad(rows[1:]))
    assert torch.allclose(batched[1, :2], alone[0], atol=1e-5)
