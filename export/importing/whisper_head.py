"""Whisper's special tokens, and what is suppressed, from the files of a folder."""

from __future__ import annotations

import io
import re
from typing import Any

import numpy as np
import soundfile
from tokenizers import Tokenizer

from hearth.models.heads import Whisper
from hearth.models.preprocessing import AudioPreprocessing
from hearth_build.importing.source import Source

TASK = "automatic-speech-recognition"
RATE = 16_000
SECONDS = 1800
"""Longest recording of a Whisper: half an hour has 115 MB of samples."""


def whisper_head(source: Source, config: dict[str, Any], tokenizer: Tokenizer) -> Whisper:
    """The special tokens, from the tokenizer; what is suppressed, from generation_config.json. `config`: the fields of
    transformers' configuration, with its defaults."""
    from transformers.models.whisper.tokenization_whisper import TO_LANGUAGE_CODE

    generation = source.read_json("generation_config.json") | {}
    codes = {
        match[1]: token
        for name, token in tokenizer.get_vocab().items()
        if (match := re.fullmatch(r"<\|([a-z]{2,3})\|>", name))
    }
    is_multilingual = generation.get("is_multilingual", len(codes) > 0 and config["vocab_size"] >= 51865)
    languages = dict(sorted(codes.items(), key=lambda item: item[1])) if is_multilingual else {}
    named = {name: languages[code] for name, code in TO_LANGUAGE_CODE.items() if code in languages}
    tasks = {name: tokenizer.token_to_id(f"<|{name}|>") for name in ("transcribe", "translate")}
    suppressed = generation.get("suppress_tokens") or config.get("suppress_tokens") or []
    first = generation.get("begin_suppress_tokens") or config.get("begin_suppress_tokens") or []
    special = [tokenizer.token_to_id(name) for name in ("<|startoftranscript|>", "<|startofprev|>", "<|startoflm|>")]
    no_timestamps = tokenizer.token_to_id("<|notimestamps|>")  # older tokenizers do not list the timestamps after it
    no_speech = first_token(tokenizer, "<|nospeech|>", "<|nocaptions|>")
    never = {*special, *tasks.values(), *codes.values(), no_speech} - {None}
    return Whisper(
        tokenizer="tokenizer.json",
        max_tokens=config["max_target_positions"],
        layers=config["decoder_layers"],
        heads=config["decoder_attention_heads"],
        head_size=config["d_model"] // config["decoder_attention_heads"],
        start=config["decoder_start_token_id"],
        eos=config["eos_token_id"],
        timestamps=None if no_timestamps is None or config["vocab_size"] <= no_timestamps + 1 else no_timestamps + 1,
        no_timestamps=no_timestamps,
        no_speech=no_speech,
        previous=tokenizer.token_to_id("<|startofprev|>"),
        languages=languages | named,
        tasks={name: token for name, token in tasks.items() if token is not None} if languages else {},
        suppressed=tuple(sorted({token for token in (*suppressed, *never) if 0 <= token < config["vocab_size"]})),
        suppressed_first=tuple(sorted(token for token in first if 0 <= token < config["vocab_size"])),
    )


def first_token(tokenizer: Tokenizer, *names: str) -> int | None:
    return next((token for name in names if (token := tokenizer.token_to_id(name)) is not None), None)


def whisper_preprocessing(mels: int) -> AudioPreprocessing:
    return AudioPreprocessing(
        rate=RATE,
        window=400,
        hop=160,
        fft=400,
        mels=mels,
        low=0.0,
        high=RATE / 2,
        normalise="none",
        features="whisper",
    )


def describe(head: Whisper) -> str:
    languages = f"{len(set(head.languages.values()))} languages" if head.languages else "one language"
    times = "timestamps" if head.timestamps is not None else "no timestamps"
    return f"{languages}, {times}"


def melody() -> bytes:
    """Three seconds of tones, as WAV."""
    time = np.arange(3 * RATE) / RATE
    sound = sum(np.sin(2 * np.pi * pitch * time) * (np.sin(3 * time + pitch) > 0) for pitch in (220, 330, 495))
    stream = io.BytesIO()
    soundfile.write(stream, (sound / 4).astype(np.float32), RATE, format="WAV")
    return stream.getvalue()
