"""Transcribes a recording with Whisper, window by window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from hearth.errors import BadRequest
from hearth.models.heads import Whisper
from hearth.models.model import Model
from hearth.models.preprocessing import AudioPreprocessing
from hearth.ops.audio.whisper import (
    FRAMES_PER_SECOND,
    HOP_LENGTH,
    N_FRAMES,
    apply_timestamp_rules,
    log_mel,
    split_segments,
)
from hearth.ops.text.sampling import log_probabilities

NO_SPEECH_THRESHOLD, LOGPROB_THRESHOLD = 0.6, -1.0
"""A window is silence where the model is surer of that than the first, and of its words less than the second."""
PROMPT_TOKENS = 223
"""Largest number of tokens of a prompt: half of the decoder's context, as in openai/whisper."""
WhisperModel = Model[AudioPreprocessing, Whisper]
Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Options:
    language: str | None = None
    task: Literal["transcribe", "translate"] = "transcribe"
    timestamps: bool = False
    prompt: str = ""


@dataclass(frozen=True)
class TimedText:
    text: str
    start: float
    """Seconds, as is `end`."""
    end: float
    logprob: float
    """Log-probability of a token, averaged over the window."""


@dataclass(frozen=True)
class Transcript:
    text: str
    segments: tuple[TimedText, ...]
    language: str
    """Its code; empty if the model does not know its language."""
    tokens: int
    """Number of generated tokens."""
    windows: tuple[Part, ...]
    """The windows whose text is in the transcript."""


@dataclass(frozen=True)
class Window:
    """What the decoder has generated for a window."""

    tokens: list[int]
    logprob: float
    no_speech: float


@dataclass(frozen=True)
class Part:
    """A window's part of a transcript."""

    position: int
    """The first frame of the window."""
    prompt: list[int]
    """The tokens before `tokens`."""
    tokens: list[int]
    """Text and times up to the last token of the transcript."""
    is_whole: bool
    """Whether the window's text ends with `tokens`."""


class DecoderState:
    """The decoder's caches for one window."""

    def __init__(self, model: WhisperModel, features: Array) -> None:
        head = model.head
        names = model.input_names["decoder"][1:]
        self.cross = dict(
            zip(names[: 2 * head.layers], model.run({model.input_names["main"][0]: features}), strict=True)
        )
        self.past_names = names[2 * head.layers :]
        self.past = [np.zeros((1, head.heads, 0, head.head_size), np.float32) for _ in self.past_names]
        self.model = model
        self.is_single = model.manifest.graphs["decoder"].inputs[0].shape[1] == 1
        """Whether the graph takes one token at a time, as optimum's do."""

    def feed(self, tokens: Sequence[int]) -> Array:
        """Append tokens; return the logits of the next one, (vocabulary,)."""
        if self.is_single:
            for token in tokens[:-1]:
                self.feed([token])
            tokens = tokens[-1:]
        caches = dict(zip(self.past_names, self.past, strict=True))
        ids = np.array([tokens], np.int64)
        logits, *self.past = self.model.run({"input_ids": ids, **self.cross, **caches}, "decoder")
        row: Array = logits[0]
        return row


def transcribe(model: WhisperModel, samples: Array, options: Options) -> Transcript:
    """Transcribe samples at 16 kHz. Raises BadRequest for a language or a task that the model does not have."""
    head = model.head
    features = log_mel(samples, model.preprocessing.mels)  # (mels, frames)
    frames = max(-(-len(samples) // HOP_LENGTH), 1)
    is_long = frames > N_FRAMES
    if options.timestamps and head.timestamps is None:
        raise BadRequest("This model has no timestamps", param="return_timestamps")
    # The next window begins where the last segment ended, so long recordings need timestamps.
    options = replace(options, timestamps=options.timestamps or (is_long and head.timestamps is not None))
    language = find_language(model, options, features[None, :, :N_FRAMES])
    prompt = initial_tokens(head, options, language)
    previous = prompt_tokens(model, options.prompt)
    segments: list[TimedText] = []
    windows: list[Part] = []
    position = generated = 0
    while position < frames:
        length = min(N_FRAMES, frames - position)
        window = decode_window(model, features[None, :, position : position + N_FRAMES], previous, prompt, options)
        generated += len(window.tokens)
        window_prompt, previous = [*previous, *prompt], []
        if options.timestamps and head.timestamps is not None:
            parts, covered = split_segments(window.tokens, head.timestamps, length)
            spans = [(part.start, part.end, part.tokens) for part in parts]
        else:
            covered, spans = length, [(0.0, length / FRAMES_PER_SECOND, window.tokens)]
        if not (window.no_speech > NO_SPEECH_THRESHOLD and window.logprob < LOGPROB_THRESHOLD):
            offset = position / FRAMES_PER_SECOND
            for start, end, tokens in spans:
                text = model.tokenizer.decode(tokens, skip_special_tokens=True)
                if text.strip():
                    times = round(offset + start, 2), round(offset + end, 2)
                    segments.append(TimedText(text, *times, round(window.logprob, 4)))
            windows.append(
                part_of(head, window.tokens, sum(len(tokens) for *_, tokens in spans), position, window_prompt)
            )
        position += covered
    text = "".join(segment.text for segment in segments).strip()
    return Transcript(
        text, tuple(replace(part, text=part.text.strip()) for part in segments), language, generated, tuple(windows)
    )


def part_of(head: Whisper, tokens: list[int], count: int, position: int, prompt: list[int]) -> Part:
    """The part of a transcript with the first `count` tokens of text of a window's `tokens`."""
    is_text = [head.timestamps is None or token < head.timestamps for token in tokens]
    texts = np.flatnonzero(is_text)
    end = int(texts[count - 1]) + 1 if count else 0
    return Part(position, prompt, tokens[:end], count == len(texts))


def find_language(model: WhisperModel, options: Options, features: Array) -> str:
    """The code of the language: the requested one, or the likeliest one of the first window; empty for a model that
    knows one language only. Raises BadRequest."""
    languages = model.head.languages
    requested = (options.language or "").lower()
    if not languages:
        if requested not in ("", "en", "english"):
            raise BadRequest("This model does not know the language of a recording; leave `language` out")
        if options.task == "translate":
            raise BadRequest("This model does not translate")
        return ""
    by_token = {token: code for code, token in reversed(languages.items())}
    if requested:
        if requested not in languages:
            raise BadRequest(f"This model knows the languages {', '.join(sorted(by_token.values()))}")
        return by_token[languages[requested]]
    logits = DecoderState(model, features).feed([model.head.start])
    return by_token[max(by_token, key=lambda token: logits[token])]


def initial_tokens(head: Whisper, options: Options, language: str) -> list[int]:
    """The tokens after which the text begins."""
    tokens = [head.start]
    if language:
        tokens.append(head.languages[language])
        if options.task in head.tasks:
            tokens.append(head.tasks[options.task])
    if not options.timestamps and head.no_timestamps is not None:
        tokens.append(head.no_timestamps)
    return tokens


def prompt_tokens(model: WhisperModel, prompt: str) -> list[int]:
    """The tokens of a text that precedes the recording. Raises BadRequest if the model takes none."""
    if not prompt.strip():
        return []
    if model.head.previous is None:
        raise BadRequest("This model does not take a `prompt`", param="prompt")
    ids = model.tokenizer.encode(" " + prompt.strip(), add_special_tokens=False).ids
    return [model.head.previous, *ids[-PROMPT_TOKENS:]]


def decode_window(
    model: WhisperModel, features: Array, previous: Sequence[int], prompt: Sequence[int], options: Options
) -> Window:
    """Generate the likeliest token at each step. `features`: (1, mels, N_FRAMES)."""
    head, state = model.head, DecoderState(model, features)
    no_speech = 0.0
    if head.no_speech is None:
        logits = state.feed([*previous, *prompt])
    else:
        logits = state.feed([*previous, prompt[0]])
        no_speech = float(np.exp(log_probabilities(logits[None])[0, head.no_speech]))
        if prompt[1:]:
            logits = state.feed(prompt[1:])
    tokens: list[int] = []
    total = 0.0
    limit = head.max_tokens - len(previous) - len(prompt)
    while True:
        logprobs = log_probabilities(logits[None])[0]
        logprobs[list(head.suppressed)] = -np.inf
        if not tokens:
            logprobs[list(head.suppressed_first)] = -np.inf
        if options.timestamps and head.timestamps is not None:
            if head.no_timestamps is not None:
                logprobs[head.no_timestamps] = -np.inf
            apply_timestamp_rules(logprobs, tokens, head.timestamps, head.eos)
        token = int(logprobs.argmax())
        total += float(logprobs[token])
        if token == head.eos or len(tokens) == limit:
            return Window(tokens, total / (len(tokens) + 1), no_speech)
        tokens.append(token)
        logits = state.feed([token])
