from __future__ import annotations

from dataclasses import replace

import torch

from hearth_build.data.report import DataReport
from hearth_build.data.split import Split
from hearth_build.data.text import tokenize
from hearth_build.data.translation import EOS_ID, PAD_ID
from hearth_build.networks.marian import Marian, Shape
from hearth_build.recipe import Example
from hearth_build.training import summarization, translation
from hearth_build.training.parallel_texts import PairData
from hearth_build.training.transformer import rows_of, train_tokenizer, write

TRAIN = [Example(f"the dog number {n}", f"der Hund {n}", f"row {n}") for n in range(20)]
LONG = Example("the dog " * 40, "der Hund", "row 20")


def data_of(*examples: Example) -> PairData:
    return PairData(Split(list(examples), [], []), (), DataReport())


def test_too_long_pairs_are_left_out_of_translations_and_cut_for_summaries() -> None:
    data = data_of(*TRAIN, LONG)
    tokenizer = train_tokenizer(data)
    pairs, limits = rows_of(data, replace(translation.TASK, tokens=(20, 20)), tokenizer)
    assert limits[0] == 20
    assert len(pairs.sources) == 20
    assert "1 pairs are longer than 20 and" in data.report.warnings[0]
    assert "(row 20)" in data.report.warnings[0]
    pairs, _ = rows_of(data, replace(summarization.TASK, tokens=(20, 20)), tokenizer)
    assert [len(pairs.sources), len(pairs.sources[20]), pairs.sources[20][-1]] == [21, 20, EOS_ID]


def test_chinese_characters_are_tokens_of_their_own() -> None:
    tokenizer = train_tokenizer(data_of(*[Example("a dog", "我的狗")] * 5))
    assert {"我", "狗"} <= set(tokenizer.encode("我的狗").tokens)


def test_texts_are_written_as_the_network_predicts_them_in_the_order_of_the_sources() -> None:
    torch.manual_seed(0)
    shape = Shape(40, 16, 1, 1, 2, 16, 30, pad=PAD_ID, dropout=0.0)
    network = Marian(shape).eval()
    sources = [[5, 6, 7, 8, EOS_ID], [9, EOS_ID], [5, 9, 6, EOS_ID]]
    together = write(network, sources, longest=6, size=2)
    assert together == [write(network, [row], longest=6)[0] for row in sources]
    assert all(len(row) <= 6 and EOS_ID not in row and PAD_ID not in row for row in together)
    assert tokenize(train_tokenizer(data_of(*TRAIN)), ["the dog"], 10)[0][-1] == EOS_ID
