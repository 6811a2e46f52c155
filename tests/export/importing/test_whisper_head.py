from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import soundfile
from tokenizers import AddedToken, Tokenizer
from tokenizers.models import WordLevel

from hearth_build.importing.source import Source
from hearth_build.importing.whisper_head import RATE, describe, melody, whisper_head

SPECIAL = ["<|startoftranscript|>", "<|en|>", "<|de|>", "<|translate|>", "<|transcribe|>"]
SPECIAL += ["<|startofprev|>", "<|nospeech|>", "<|notimestamps|>", "<|0.00|>"]
CONFIG: dict[str, Any] = {
    "vocab_size": 60,
    "max_target_positions": 20,
    "decoder_layers": 2,
    "decoder_attention_heads": 4,
    "d_model": 32,
    "decoder_start_token_id": 50,
    "eos_token_id": 1,
}


def head(folder: Path, config: dict[str, Any] = CONFIG, generation: str = '{"is_multilingual": true}') -> Any:
    (folder / "generation_config.json").write_text(generation)
    tokenizer = Tokenizer(WordLevel({f"word{number}": number for number in range(50)}, "word0"))
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL])
    return whisper_head(Source(folder, "tiny", {}), config, tokenizer)


def test_special_tokens_are_those_of_the_tokenizer(tmp_path: Path) -> None:
    read = head(
        tmp_path, generation='{"is_multilingual": true, "suppress_tokens": [7, 99], "begin_suppress_tokens": [3]}'
    )
    assert (read.languages["de"], read.languages["german"]) == (52, 52)
    assert read.tasks == {"transcribe": 54, "translate": 53}
    assert (read.timestamps, read.no_speech, read.previous, read.head_size) == (58, 56, 55, 8)
    assert {7, 50, 51, 52, 53, 54, 56} <= set(read.suppressed)
    assert 99 not in read.suppressed, "beyond the vocabulary"
    assert read.suppressed_first == (3,)
    assert describe(read) == "2 languages, timestamps"


def test_a_model_of_one_language_has_no_choice(tmp_path: Path) -> None:
    read = head(tmp_path, CONFIG | {"vocab_size": 58}, "{}")
    assert (read.languages, read.tasks, read.timestamps) == ({}, {}, None)
    assert describe(read) == "one language, no timestamps"


def test_the_golden_input_is_three_seconds_of_sound() -> None:
    samples, rate = soundfile.read(io.BytesIO(melody()))
    assert (len(samples), rate) == (3 * RATE, RATE)
    assert 0.1 < abs(samples).max() <= 1
