from __future__ import annotations

import os

import pytest

from hearth_build.data.datasets import text_key
from hearth_build.data.translation import language_token, scripts
from hearth_build.recipes.translate_en_zh import data as en_zh


@pytest.mark.skipif("HEARTH_DATA" not in os.environ, reason="HEARTH_DATA is not set")
def test_no_split_of_the_chinese_data_overlaps_another() -> None:
    splits = en_zh.split_pairs()
    sources = {name: {text_key(source.split("<< ")[1]) for source, _ in split} for name, split in splits.items()}
    assert not sources["train"] & sources["val"]
    assert not sources["train"] & sources["held"]
    assert not sources["held"] & sources["val"]
    assert len(splits["val"]) > 900
    for source, target in splits["val"]:
        assert source.startswith(tuple(language_token(script) for script in scripts(target)))


def test_a_pair_is_there_once_for_each_script_of_its_translation() -> None:
    pairs = [("I read.", "我读书"), ("Hello.", "你好"), ("Mixed.", "我们讀書")]
    assert en_zh.tag_scripts(pairs) == [
        (">>zh-Hans<< I read.", "我读书"),
        (">>zh-Hans<< Hello.", "你好"),
        (">>zh-Hant<< Hello.", "你好"),
    ]


def test_no_english_sentence_is_in_two_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = [(f"Sentence {number % 400}.", "你好") for number in range(800)]
    monkeypatch.setattr(en_zh, "read_file", lambda: pairs)
    splits = en_zh.split_pairs()
    sources = {name: {source.split("<< ")[1] for source, _ in split} for name, split in splits.items()}
    assert all(sources.values())
    assert sum(map(len, sources.values())) == 400
