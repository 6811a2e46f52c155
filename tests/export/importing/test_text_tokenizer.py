from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import Tokenizer

from hearth_build.importing.source import Source, open_folder
from hearth_build.importing.text_tokenizer import read_tokenizer
from hearth_build.recipe import RecipeError
from tests.export.training.checkpoints import save_encoder, word_tokenizer


def test_a_tokenizer_is_that_of_transformers_without_truncation(tmp_path: Path) -> None:
    save_encoder(tmp_path)
    saved = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    saved.enable_truncation(4)
    saved.enable_padding(length=8)
    saved.save(str(tmp_path / "tokenizer.json"))
    read = read_tokenizer(open_folder(tmp_path, "tiny"))
    assert (read.has_types, read.pad_id) == (True, 0)
    assert len(read.tokenizer.encode("good bad good bad").ids) == 6
    read.save(tmp_path / ".")
    assert Tokenizer.from_file(str(tmp_path / "tokenizer.json")).truncation is None


def test_a_tokenizer_without_configuration_has_the_types_of_its_template(tmp_path: Path) -> None:
    tokenizer = word_tokenizer(("Good",))
    tokenizer.enable_padding(pad_id=7)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    read = read_tokenizer(Source(tmp_path, "tiny", {}))
    assert (read.has_types, read.pad_id) == (True, 7)
    (tmp_path / "sentence_bert_config.json").write_text('{"do_lower_case": true}')
    assert read_tokenizer(Source(tmp_path, "tiny", {})).tokenizer.encode("A").tokens[1] == "a"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("notes.txt", "has no tokenizer.json. Save the tokenizer there"),
        ("tokenizer.json", r"tokenizer\.json cannot be read"),
        ("vocab.txt", "has no tokenizer.json and no tokenizer_config.json"),
        ("source.spm", "has no vocab.json: MarianTokenizer"),
    ],
)
def test_a_folder_without_a_tokenizer_says_what_to_do(name: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("{")
    with pytest.raises(RecipeError, match=message):
        read_tokenizer(Source(tmp_path, "tiny", {}))
