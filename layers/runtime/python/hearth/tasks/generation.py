"""A language model that writes token by token, with keys and values in one buffer that is bound once a request."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from hearth import deadline
from hearth.models.manifest import Decoder, TextPreprocessing
from hearth.models.model import Model
from hearth.ops.activations import top_indices
from hearth.ops.text.detokenizer import Detokenizer
from hearth.ops.text.sampling import candidates, draw, log_probabilities, penalise
from hearth.ops.text.stop_strings import StopStrings
from hearth.tasks.task import Usage
from hearth.telemetry.timing import time_tokens

CHUNK = 128
"""Tokens of a prompt that are read at once: attention's scratch space grows with them times all before."""
Array = np.ndarray[Any, Any]
LanguageModel = Model[TextPreprocessing, Decoder]


@dataclass(frozen=True)
class Sampling:
    temperature: float = 0.0
    """0 takes the likeliest token."""
    top_k: int | None = None
    top_p: float | None = None
    repetition: float = 1.0
    presence: float = 0.0
    frequency: float = 0.0
    bias: Mapping[int, float] = field(default_factory=dict)
    """Added to the logits of tokens."""
    seed: int = 0


@dataclass(frozen=True)
class Piece:
    """A token of the answer, and the text that became certain with it."""

    token: int
    logprob: float
    """Natural logarithm of the probability that the model itself gave the token, before temperature and penalties."""
    text: str
    special: bool = False
    """Whether it ends the text rather than being a part of it."""
    finish: Literal["length", "eos_token", "stop_sequence"] | None = None
    """Set in the last piece."""
    top: tuple[tuple[int, str, float], ...] = ()
    """The likeliest tokens, their texts and log-probabilities, as many as were asked for, likeliest first."""


class Generation:
    """A text that is being written: an iterator over its pieces."""

    def __init__(self, usage: Usage, pieces: Iterator[Piece]) -> None:
        self.usage = usage
        """Grows with the pieces; seed and input tokens are known at once."""
        self._pieces = time_tokens(pieces)

    def __iter__(self) -> Iterator[Piece]:
        return self

    def __next__(self) -> Piece:
        piece = next(self._pieces)
        self.usage.output_tokens += 1
        return piece


class KeyValueCache:
    """Keys and values of one text of at most `capacity` tokens; not for two threads.

    Each layer's two buffers are bound as what the graph reads and as what it writes, so a token costs no copy.
    """

    def __init__(self, model: LanguageModel, capacity: int) -> None:
        from onnxruntime import OrtValue

        head = model.head
        self.length = 0
        """Tokens that were read."""
        self._model = model
        self._binding = model.session().io_binding()
        self._value = OrtValue.ortvalue_from_numpy  # shares the array's memory
        self._vocabulary = vocabulary_size(model)
        # Pages that are never written take no memory.
        self._buffer = np.empty((head.layers, 2, 1, head.kv_heads, capacity, head.head_size), np.float32)
        for layer in range(head.layers):
            for part, name in enumerate(("key", "value")):
                value = self._value(self._buffer[layer, part])
                self._binding.bind_ortvalue_input(f"past.{layer}.{name}", value)
                self._binding.bind_ortvalue_output(f"present.{layer}.{name}", value)
        self._total = np.zeros(1, np.int32)
        self._binding.bind_ortvalue_input("total", self._value(self._total))
        self._bind(1, 1)

    def _bind(self, new: int, rows: int) -> None:
        self._ids, self._rows = np.zeros((1, new), np.int64), np.zeros(rows, np.int64)
        self._logits = np.empty((rows, self._vocabulary), np.float32)
        self._binding.bind_ortvalue_input("input_ids", self._value(self._ids))
        self._binding.bind_ortvalue_input("rows", self._value(self._rows))
        self._binding.bind_ortvalue_output("logits", self._value(self._logits))

    def read(self, tokens: Sequence[int], rows: Sequence[int] = (-1,)) -> Array:
        """Logits (rows, vocabulary) of what follows the tokens that `rows` names; overwritten by the next call."""
        if (len(tokens), len(rows)) != (self._ids.shape[1], len(self._rows)):
            self._bind(len(tokens), len(rows))
        self.length += len(tokens)
        self._ids[0], self._total[0] = tokens, self.length
        self._rows[:] = [row % len(tokens) for row in rows]
        self._model.run_bound(self._binding)
        return self._logits

    def read_prompt(self, tokens: Sequence[int]) -> Array:
        """Logits (vocabulary,) of what follows the prompt."""
        for start in range(0, len(tokens), CHUNK):
            logits = self.read(tokens[start : start + CHUNK])
        return logits[0]  # type: ignore[no-any-return]


def vocabulary_size(model: LanguageModel) -> int:
    return int(model.manifest.graphs["main"].outputs[0].shape[-1])


def new_seed() -> int:
    return secrets.randbits(31)


def generate(
    model: LanguageModel,
    prompt: Sequence[int],
    max_new_tokens: int,
    sampling: Sampling,
    stop: Sequence[str] = (),
    top: int = 0,
) -> Iterator[Piece]:
    """Up to `max_new_tokens` tokens after `prompt` (one token at least), which together fit into the model's context;
    with each the `top` likeliest ones. A text that could not go on in the request's time ends before it, as one of full
    length does.

    Raises DeadlineExceeded where there is no time for a first token."""
    cache = KeyValueCache(model, len(prompt) + max_new_tokens)
    random = np.random.default_rng(sampling.seed)
    text = Detokenizer(model.tokenizer.decode, prompt)
    stop_strings = StopStrings(stop)
    logits = cache.read_prompt(prompt)
    seen, counts = np.zeros(len(logits), bool), np.zeros(len(logits), np.float32)
    seen[list(prompt)] = True
    began, slowest = time.monotonic(), 0.0  # seconds of a token, the time of its reader included
    for number in range(1, max_new_tokens + 1):
        began, slowest = time.monotonic(), max(slowest, time.monotonic() - began)
        token = _next_token(logits, seen, counts, sampling, random)
        logprobs = log_probabilities(logits)
        logprob = float(logprobs[token])
        likely: tuple[tuple[int, str, float], ...] = ()
        if top:
            likely = tuple(
                (index, model.tokenizer.decode([index]), float(logprobs[index])) for index in top_indices(logprobs, top)
            )
        if token in model.head.eos:
            yield Piece(token, logprob, stop_strings.flush(), True, "eos_token", likely)
            return
        seen[token] = True
        counts[token] += 1
        certain = stop_strings.push(text.push(token))
        if stop_strings.matched:
            yield Piece(token, logprob, certain, False, "stop_sequence", likely)
            return
        if number == max_new_tokens or deadline.expires_within(2 * slowest):
            yield Piece(token, logprob, certain + stop_strings.flush(), False, "length", likely)
            return
        yield Piece(token, logprob, certain, top=likely)
        logits = cache.read([token])[0]


def _next_token(logits: Array, seen: Array, counts: Array, sampling: Sampling, random: np.random.Generator) -> int:
    logits = penalise(logits, seen, counts, sampling.repetition, sampling.presence, sampling.frequency)
    if sampling.bias:
        logits = logits.copy()
        logits[list(sampling.bias)] += list(sampling.bias.values())
    if sampling.temperature == 0:
        return int(logits.argmax())
    return draw(*candidates(logits, sampling.temperature, sampling.top_k, sampling.top_p), random)


def log_likelihoods(model: LanguageModel, tokens: Sequence[int]) -> Array:
    """Log-probabilities (tokens - 1,) of each token but the first, given those before it."""
    cache = KeyValueCache(model, len(tokens))
    parts = []
    for start in range(0, len(tokens) - 1, CHUNK):
        chunk = tokens[start : min(start + CHUNK, len(tokens) - 1)]
        logits = cache.read(chunk, range(len(chunk)))
        following = tokens[start + 1 : start + 1 + len(chunk)]
        parts.append(log_probabilities(logits)[np.arange(len(chunk)), following])
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)
