from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from hearth_build.data import transcripts
from hearth_build.data.datasets import DataError


def contents(path: Path) -> list[tuple[str, str, bytes]]:
    return [(example.expected, example.group, example.inputs.read()) for example in transcripts.read(path)]


def test_common_voice_is_read_from_its_clips(tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    lines = ["client_id\tpath\tsentence\tup_votes\tage"]
    for number in range(30):
        (tmp_path / "clips" / f"{number}.mp3").write_bytes(b"%d" % number)
        lines.append(f'speaker{number // 2 + number}\t{number}.mp3\tHe said "yes", number {number}.\t2\t')
    (tmp_path / "train.tsv").write_text("\n".join(lines), encoding="utf-8")
    rows = contents(tmp_path / "train.tsv")
    assert rows[1] == ('He said "yes", number 1.', "speaker1", b"1")
    few = [line.replace(line.split("\t")[0], "one") if number else line for number, line in enumerate(lines)]
    (tmp_path / "train.tsv").write_text("\n".join(few))
    assert contents(tmp_path / "train.tsv")[1][1] == ""  # a single speaker cannot be parted


def test_text_files_beside_recordings_in_a_folder_and_a_zip(tmp_path: Path) -> None:
    folder = tmp_path / "data/set"
    folder.mkdir(parents=True)
    (folder / "one.WAV").write_bytes(b"1")
    (folder / "one.txt").write_text("The first one\n", encoding="utf-8-sig")
    (folder / "7_anna_3.wav").write_bytes(b"7")
    (folder / ".DS_Store").write_bytes(b"")
    expected = {("The first one", "", b"1"), ("seven", "", b"7")}
    assert set(contents(tmp_path / "data")) == expected
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for file in folder.iterdir():
            archive.write(file, f"set/{file.name}")
    assert set(contents(tmp_path / "a.zip")) == expected
    (folder / "two.wav").write_bytes(b"2")
    with pytest.raises(DataError, match=r"1 of 3 recordings .* have no text file of the same name: two.wav"):
        contents(tmp_path / "data")


def test_missing_recordings_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"1")
    (tmp_path / "a.jsonl").write_text(
        '{"audio_filepath": "a.wav", "text": "one", "duration": 1}\n{"audio_filepath": "b.wav", "text": "two"}'
    )
    with pytest.raises(DataError, match=r"1 of the 2 recordings .* do not exist .*: b.wav"):
        contents(tmp_path / "a.jsonl")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="has no recordings"):
        contents(tmp_path / "empty")
