from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hearth_build.importing.base import ImportOptions
from hearth_build.importing.source import Source
from hearth_build.importing.speech import accepts, letters, read
from hearth_build.recipe import RecipeError

CONFIG: Any = SimpleNamespace(vocab_size=5, pad_token_id=0)


def source(folder: Path, name: str = "Wav2Vec2ForCTC", **fields: Any) -> Source:
    return Source(folder, "tiny", {"architectures": [name], **fields})


def test_symbols_are_in_the_order_of_the_output(tmp_path: Path) -> None:
    vocabulary = {"<pad>": 0, "|": 1, "a": 2, "[UNK]": 3, "b": 9}
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary))
    assert letters(source(tmp_path), CONFIG, ImportOptions()) == (("", " ", "a", "", ""), 0)
    (tmp_path / "tokenizer_config.json").write_text('{"word_delimiter_token": "a", "target_lang": "deu"}')
    (tmp_path / "vocab.json").write_text(json.dumps({"eng": vocabulary, "deu": {"a": 1, "b": 2}}))
    assert letters(source(tmp_path), CONFIG, ImportOptions())[0] == ("", " ", "b", "", "")


def test_a_model_without_symbols_asks_for_them(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"has no vocab.json with the symbols.*the 5 symbols in the order"):
        letters(source(tmp_path), CONFIG, ImportOptions())
    (tmp_path / "labels.txt").write_text("a\nb\n")
    with pytest.raises(RecipeError, match="--labels has 2 symbols; the model has 5"):
        letters(source(tmp_path), CONFIG, ImportOptions(labels=tmp_path / "labels.txt"))


@pytest.mark.parametrize(
    ("name", "task", "expected"),
    [
        ("WhisperForConditionalGeneration", None, True),
        ("HubertForCTC", "automatic-speech-recognition", True),
        ("HubertForCTC", "tensors", False),
        ("T5ForConditionalGeneration", None, False),
    ],
)
def test_speech_is_recognised_by_its_class(name: str, task: str | None, expected: bool, tmp_path: Path) -> None:
    assert accepts(source(tmp_path, name), ImportOptions(task=task)) is expected


def test_models_that_do_not_read_waveforms_are_refused(tmp_path: Path) -> None:
    (tmp_path / "preprocessor_config.json").write_text('{"feature_extractor_type": "SeamlessM4TFeatureExtractor"}')
    with pytest.raises(RecipeError, match="does not read waveforms"):
        read(source(tmp_path), ImportOptions())
    with pytest.raises(RecipeError, match=r"has no tokenizer\.json"):
        read(source(tmp_path, "WhisperForConditionalGeneration"), ImportOptions())
