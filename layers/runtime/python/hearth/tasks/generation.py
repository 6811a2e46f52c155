"""Text generation token by token, with a key-value cache that is bound once per request."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hearth import deadline
from hearth.models.heads import Decoder
from hearth.models.model import Model
from hearth.models.preprocessing import TextPreprocessing
from hearth.ops.activations import top_indices
from hearth.ops.text.detokenizer import Detokenizer
from hearth.ops.text.sampling import candidates, draw, log_probabilities, penalise
from hearth.ops.text.stop_strings import StopStrings
from hearth.tasks import prefix_cache
from hearth.tasks.task import Usage
from hearth.telemetry.timing import current, time_tokens

if TYPE_CHECKING:
    from hearth.tasks.constraint import Constraint
    from hearth.tasks.memory_budget import MemoryBudget

CHUNK = 128
"""Number of prompt tokens per run: attention's scratch memory is proportional to it times the length before."""
Array = np.ndarray[Any, Any]
LanguageModel = Model[TextPreprocessing, Decoder]


@dataclass(frozen=True)
class Sampling:
    temperature: float = 0.0
    """0: always the likeliest token."""
    top_k: int | None = None
    top_p: float | None = None
    min_p: float = 0.0
    """Tokens that are less likely than this, relative to the likeliest one, are left out."""
    repetition: float = 1.0
    presence: float = 0.0
    frequency: float = 0.0
    bias: Mapping[int, float] = field(default_factory=dict)
    """Token id -> value added to its logit."""
    seed: int = 0


@dataclass(frozen=True)
class Piece:
    """A generated token, and the text that it completes."""

    token: int
    logprob: float
    """Natural logarithm of the token's probability, before temperature and penalties."""
    text: str
    special: bool = False
    """Whether the token is an end token and not part of the text."""
    finish: Literal["length", "eos_token", "stop_sequence"] | None = None
    """Set in the last piece only."""
    top: tuple[tuple[int, str, float], ...] = ()
    """The likeliest tokens, their texts and log-probabilities, likeliest first, as many as were requested."""


class Generation:
    """A text that is being generated: an iterator over its pieces."""

    def __init__(self, usage: Usage, pieces: Iterator[Piece], prefix: str = "") -> None:
        self.usage = usage
        """Updated with each piece; seed and input tokens are set from the beginning."""
        self.prefix = prefix
        """What the whole answer has before the texts of the pieces."""
        self._pieces = time_tokens(pieces)

    def __iter__(self) -> Iterator[Piece]:
        return self

    def reserve(self, budget: MemoryBudget, size: int) -> None:
        """Hold `size` bytes of the budget from before the first piece until the last one."""
        self._pieces = _reserved(budget, size, self._pieces)

    def wrap(self, wrapper: Callable[[Iterator[Piece]], Iterator[Piece]]) -> None:
        """Let the pieces pass through a generator."""
        self._pieces = wrapper(self._pieces)

    def __next__(self) -> Piece:
        piece = next(self._pieces)
        self.usage.output_tokens += 1
        if piece.finish:
            current().fields["finish_reason"] = piece.finish
        return piece


def _reserved(budget: MemoryBudget, size: int, pieces: Iterator[Piece]) -> Iterator[Piece]:
    with budget.reserve(size, is_stream=True):
        yield from pieces


class KeyValueCache:
    """Keys and values of one text of at most `capacity` tokens. Not thread-safe.

    Each layer's two buffers are bound both as inputs and as outputs of the graph, so a token needs no copy.
    """

    def __init__(self, model: LanguageModel, capacity: int) -> None:
        from onnxruntime import OrtValue

        head = model.head
        self.tokens: list[int] = []
        """The tokens whose keys and values are in the cache."""
        self._model = model
        self._binding = model.session().io_binding()
        self._value = OrtValue.ortvalue_from_numpy  # shares the array's memory
        self._vocabulary = vocabulary_size(model)
        # Memory pages are allocated only when they are written.
        self._buffer = np.empty((head.layers, 2, 1, head.kv_heads, capacity, head.head_size), np.float32)
        for layer in range(head.layers):
            for index, name in enumerate(("key", "value")):
                value = self._value(self._buffer[layer, index])
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
        """Read tokens and return logits (rows, vocabulary) for the tokens after those at `rows`. The next call
        overwrites them."""
        if (len(tokens), len(rows)) != (self._ids.shape[1], len(self._rows)):
            self._bind(len(tokens), len(rows))
        self._ids[0], self._total[0] = tokens, len(self.tokens) + len(tokens)
        self._rows[:] = [row % len(tokens) for row in rows]
        self._model.run_bound(self._binding)
        self.tokens += tokens
        return self._logits

    def restore(self, tokens: Sequence[int]) -> int:
        """Take over keys and values of an earlier text that begins as this one; returns the number of its tokens."""
        if self._model.head.reusable:
            self.tokens = list(tokens[: prefix_cache.restore(self._model, tokens, self._buffer)])
        return len(self.tokens)

    def keep(self) -> None:
        """Leave keys and values to later texts; the cache must not be used any more."""
        if self._model.head.reusable:
            prefix_cache.keep(self._model, self.tokens, self._buffer)

    def read_prompt(self, tokens: Sequence[int]) -> Array:
        """Read a prompt, whose beginning the cache may have, and return the logits (vocabulary,) for the next token."""
        for start in range(len(self.tokens), len(tokens), CHUNK):
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
    constraint: Constraint | None = None,
    *,
    ignore_eos: bool = False,
    usage: Usage | None = None,
) -> Iterator[Piece]:
    """Generate up to `max_new_tokens` tokens after `prompt`, which has at least one token; both together must fit into
    the model's context. Each piece has the `top` likeliest tokens. A text ends with `length` before the request's
    deadline. With `ignore_eos`, end tokens do not end it. `usage` gets
    the number of the prompt's tokens that need not be read.

    Raises DeadlineExceeded if there is no time for a first token."""
    cache = KeyValueCache(model, len(prompt) + max_new_tokens)
    cached_tokens = cache.restore(prompt)
    if usage is not None:
        usage.cached_tokens = cached_tokens
    try:
        yield from _generate(cache, model, prompt, max_new_tokens, sampling, stop, top, constraint, ignore_eos)
    finally:
        cache.keep()


def _generate(
    cache: KeyValueCache,
    model: LanguageModel,
    prompt: Sequence[int],
    max_new_tokens: int,
    sampling: Sampling,
    stop: Sequence[str],
    top: int,
    constraint: Constraint | None,
    ignore_eos: bool,
) -> Iterator[Piece]:
    random = np.random.default_rng(sampling.seed)
    detokenizer = Detokenizer(model.tokenizer.decode, prompt)
    stop_strings = StopStrings(stop)
    logits = cache.read_prompt(prompt)
    seen, counts = np.zeros(len(logits), bool), np.zeros(len(logits), np.float32)
    seen[list(prompt)] = True
    started, slowest = time.monotonic(), 0.0  # seconds per token, including the consumer's time
    for number in range(1, max_new_tokens + 1):
        started, slowest = time.monotonic(), max(slowest, time.monotonic() - started)
        allowed = None if constraint is None else constraint.allowed()
        token = _next_token(logits, seen, counts, sampling, random, allowed)
        logprobs = log_probabilities(logits)
        logprob = float(logprobs[token])
        likely: tuple[tuple[int, str, float], ...] = ()
        if top:
            likely = tuple(
                (index, model.tokenizer.decode([index]), float(logprobs[index])) for index in top_indices(logprobs, top)
            )
        if token in model.head.eos and not ignore_eos:
            yield Piece(token, logprob, stop_strings.flush(), True, "eos_token", likely)
            return
        seen[token] = True
        counts[token] += 1
        text = stop_strings.push(detokenizer.push(token))
        if stop_strings.matched:
            yield Piece(token, logprob, text, False, "stop_sequence", likely)
            return
        if constraint is not None and constraint.accept(token):
            yield Piece(token, logprob, text + stop_strings.flush(), False, "eos_token", likely)
            return
        if number == max_new_tokens or deadline.expires_within(2 * slowest):
            yield Piece(token, logprob, text + stop_strings.flush(), False, "length", likely)
            return
        yield Piece(token, logprob, text, top=likely)
        logits = cache.read([token])[0]


def _next_token(
    logits: Array, seen: Array, counts: Array, sampling: Sampling, random: np.random.Generator, allowed: Array | None
) -> int:
    """Choose a token; where `allowed` (vocabulary,) bool is given, among those."""
    logits = penalise(logits, seen, counts, sampling.repetition, sampling.presence, sampling.frequency)
    if sampling.bias:
        logits = logits.copy()
        logits[list(sampling.bias)] += list(sampling.bias.values())
    tokens = None if allowed is None else np.flatnonzero(allowed)
    if tokens is not None:
        logits = logits[tokens]
    if sampling.temperature == 0:
        index = int(logits.argmax())
    else:
        options = candidates(logits, sampling.temperature, sampling.top_k, sampling.top_p, sampling.min_p)
        index = draw(*options, random)
    return index if tokens is None else int(tokens[index])


def log_likelihoods(model: LanguageModel, tokens: Sequence[int]) -> Array:
    """Log-probabilities (tokens - 1,) of each token except the first, given the tokens before it."""
    cache = KeyValueCache(model, len(tokens))
    logprobs = []
    for start in range(0, len(tokens) - 1, CHUNK):
        chunk = tokens[start : min(start + CHUNK, len(tokens) - 1)]
        logits = cache.read(chunk, range(len(chunk)))
        following = tokens[start + 1 : start + 1 + len(chunk)]
        logprobs.append(log_probabilities(logits)[np.arange(len(chunk)), following])
    return np.concatenate(logprobs) if logprobs else np.zeros(0, np.float32)
