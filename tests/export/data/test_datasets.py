"""HEARTH_DATA, and how data sets are split."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from hearth_build import recipe as recipes
from hearth_build.data.datasets import DataError, Source, hold_out, text_key, unique

SOURCE = Source("a/b.txt", "B", "https://example.org/b", "none", hashlib.sha256(b"right").hexdigest())


def test_unset_missing_and_altered_data_name_the_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HEARTH_DATA", raising=False)
    with pytest.raises(DataError, match=r"HEARTH_DATA is not set.*example\.org"):
        SOURCE.file()
    monkeypatch.setenv("HEARTH_DATA", str(tmp_path))
    with pytest.raises(DataError, match=r"is missing.*example\.org"):
        SOURCE.file()
    (tmp_path / "a").mkdir()
    (tmp_path / "a/b.txt").write_bytes(b"wrong")
    with pytest.raises(DataError, match="SHA-256"):
        SOURCE.file()
    (tmp_path / "a/b.txt").write_bytes(b"right")
    assert SOURCE.file().read_bytes() == b"right"


def test_the_split_of_an_item_does_not_depend_on_the_others() -> None:
    items = [f"text {number}" for number in range(1000)]
    train, held_out = hold_out(items, 0.1, text_key, seed=1)
    assert 60 < len(held_out) < 140
    assert not set(map(text_key, train)) & set(map(text_key, held_out))
    assert hold_out(list(reversed(items)), 0.1, text_key, seed=1)[1] == held_out[::-1]


def test_texts_that_differ_only_in_case_and_punctuation_are_duplicates() -> None:
    assert unique(["Good!", "good", "bad", "很好。", "很好", "!!"], text_key, set()) == ["Good!", "bad", "很好。", "!!"]


@pytest.mark.skipif("HEARTH_DATA" not in os.environ, reason="HEARTH_DATA is not set")
@pytest.mark.parametrize(
    ("name", "held_out"), [("sentiment-en", ("sst2", "uci")), ("sentiment-zh", ("hotels", "takeaway"))]
)
def test_no_held_out_text_is_in_the_training_data(name: str, held_out: tuple[str, ...], tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="the export extra (torch) is not installed")
    recipes.load(name).prepare(tmp_path)

    def keys(split: str) -> set[str]:
        texts = json.loads((tmp_path / f"{split}.json").read_text(encoding="utf-8"))
        return {text_key(text if isinstance(text, str) else text[0]) for text in texts}

    for split in held_out:
        assert len(keys(split)) > 500
        assert not keys(split) & (keys("train") | keys("unlabelled"))
