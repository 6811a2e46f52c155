from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from hearth_build.data import parallel_texts
from hearth_build.data.datasets import DataError

ROWS = [("a dog", "ein Hund"), ("a cat, sleeping", "eine Katze, schlafend"), ('the "big" house', 'das "große" Haus')]


def contents(path: Path, **options: object) -> list[tuple[str, str]]:
    return [(example.inputs, example.expected) for example in parallel_texts.read(path, **options)]  # type: ignore[arg-type]


def test_columns_named_by_languages_are_a_header(tmp_path: Path) -> None:
    lines = [f"{a}\t{b}" for a, b in [("en", "de"), *ROWS]]
    (tmp_path / "a.tsv").write_text("\n".join(lines), encoding="utf-8-sig")
    assert contents(tmp_path / "a.tsv") == ROWS
    assert parallel_texts.column_languages(tmp_path / "a.tsv") == ("en", "de")
    (tmp_path / "b.tsv").write_text("\n".join(lines[1:]))
    assert contents(tmp_path / "b.tsv") == ROWS


def test_the_form_of_translations_on_the_hub_is_read(tmp_path: Path) -> None:
    lines = [json.dumps({"id": number, "translation": {"en": a, "de": b}}) for number, (a, b) in enumerate(ROWS)]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    columns = {"source": "en", "target": "de"}
    assert contents(tmp_path / "a.jsonl", columns=columns) == ROWS
    assert parallel_texts.column_languages(tmp_path / "a.jsonl", columns) == ("en", "de")


@pytest.mark.parametrize("names", [("train.en", "train.de"), ("en.txt", "de.txt"), ("a.source", "a.target")])
def test_two_files_are_read_line_by_line(names: tuple[str, str], tmp_path: Path) -> None:
    for name, texts in zip(names, zip(*ROWS, strict=True), strict=True):
        (tmp_path / name).write_text("\r\n".join(texts) + "\r\n")
    (tmp_path / "README.md").write_text("Pairs")
    assert contents(tmp_path / names[0]) == ROWS
    assert contents(tmp_path / names[1]) == [(b, a) for a, b in ROWS]


def test_compressed_files_and_one_of_several_languages(tmp_path: Path) -> None:
    for language in ("en", "de", "fr"):
        (tmp_path / f"train.{language}.gz").write_bytes(gzip.compress(f"{language} 1\n{language} 2\n".encode()))
    with pytest.raises(DataError, match="--column target=LANGUAGE: de, fr"):
        contents(tmp_path / "train.en.gz")
    assert contents(tmp_path / "train.en.gz", columns={"target": "fr"}) == [("en 1", "fr 1"), ("en 2", "fr 2")]


def test_files_that_are_no_pair_say_why(tmp_path: Path) -> None:
    (tmp_path / "train.en").write_text("one\ntwo\n")
    with pytest.raises(DataError, match="no file with the second texts stands beside it"):
        contents(tmp_path / "train.en")
    (tmp_path / "train.de").write_text("eins\n")
    with pytest.raises(DataError, match=r"has 2 lines, but .* has 1"):
        contents(tmp_path / "train.en")
    (tmp_path / "a.csv").write_text("one\ntwo\n")
    with pytest.raises(DataError, match="has one column"):
        contents(tmp_path / "a.csv")
    with pytest.raises(DataError, match="is a folder"):
        contents(tmp_path)


def test_translation_memories_are_read(tmp_path: Path) -> None:
    units = "".join(
        f'<tu><tuv xml:lang="en-GB"><seg>{a} <bpt i="1"/>here</seg></tuv><tuv xml:lang="de"><seg>{b}</seg></tuv></tu>'
        for a, b in ROWS
    )
    (tmp_path / "a.tmx").write_text(f'<?xml version="1.0"?><tmx version="1.4"><body>{units}</body></tmx>')
    assert contents(tmp_path / "a.tmx") == [(f"{a} here", b) for a, b in ROWS]
    assert contents(tmp_path / "a.tmx", columns={"source": "de", "target": "en-GB"})[0] == ("ein Hund", "a dog here")
    assert parallel_texts.column_languages(tmp_path / "a.tmx") == ("en-GB", "de")
    (tmp_path / "b.tmx").write_text("<tmx>")
    with pytest.raises(DataError, match="cannot be read"):
        contents(tmp_path / "b.tmx")


def test_columns_named_by_names_of_languages_are_a_header(tmp_path: Path) -> None:
    lines = [f"{a}\t{b}" for a, b in [("English sentences", "German"), *ROWS]]
    (tmp_path / "a.tsv").write_text("\n".join(lines))
    assert contents(tmp_path / "a.tsv") == ROWS
