"""What an explanation of a written text is of: the log-probability of each of its words after the words before it, for
other inputs than the one that it was written for (teacher forcing)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np

from hearth import deadline
from hearth.errors import BadRequest
from hearth.ops.attribution import Floats
from hearth.ops.text.beam_search import GenerationConfig, process_scores
from hearth.ops.text.sampling import log_probabilities
from hearth.ops.text.token_words import TokenWord, token_words
from hearth.tasks.explanation.parts import WORD
from hearth.tasks.explanation.subjects import Subject, Word, no_target, of_text, only_input
from hearth.tasks.schema import ExplainOptions
from hearth.tasks.seq2seq import Array, EncoderDecoder, start_decoder
from hearth.tasks.task import Prediction


def written_text(
    model: EncoderDecoder,
    request: Any,
    options: ExplainOptions,
    answer: tuple[Prediction, Sequence[Sequence[int]]],
    encode: Callable[[EncoderDecoder, Any], dict[str, Array]],
    config: GenerationConfig,
) -> Subject:
    """What an explanation of the only text of an answer, or of the word `options.target` in it, is of.

    `answer` has the tokens of each text. Raises BadRequest.
    """
    source = only_input(request.inputs)
    prediction, outputs = answer
    if not outputs or not outputs[0]:
        raise BadRequest("The answer is empty; there is nothing to explain", param="parameters.explain")
    (tokens,) = outputs
    (text,) = (next(iter(msgspec.structs.astuple(item))) for item in prediction.output)
    words = token_words(tokens, model.tokenizer.decode, WORD)

    def score(inputs: Sequence[Any]) -> Floats:
        feeds = encode(model, msgspec.structs.replace(request, inputs=[*inputs]))
        prediction.usage.input_tokens += int(np.count_nonzero(feeds["attention_mask"]))
        return sum_words(score_tokens(model, feeds, tokens, config), words)

    spans = find_words(text, words)
    name, chosen = options.target or text, choose(spans, options.target)
    return Subject(prediction, of_text(source), name, "log-probability", score, spans, chosen)


def score_tokens(
    model: EncoderDecoder, feeds: dict[str, Array], tokens: Sequence[int], config: GenerationConfig
) -> Array:
    """Log-probabilities (inputs, tokens + 1) of each token after those before it, and of the end after the last, as
    generation ranks them: a forced token has 0. Raises DeadlineExceeded."""
    decoder_step = start_decoder(model, feeds)
    count = len(feeds["input_ids"])
    rows, sequences = np.arange(count), np.zeros((count, 0), np.int64)
    scores, previous = [], config.decoder_start_token_id
    for token in [*tokens, config.eos_token_id]:
        deadline.check()
        logits = decoder_step(np.full(count, previous, np.int64), rows, rows)
        scores.append(process_scores(log_probabilities(logits), sequences, config)[:, token])
        sequences = np.concatenate([sequences, np.full((count, 1), token)], 1)
        previous = token
    return np.stack(scores, 1)


def sum_words(scores: Array, words: Sequence[TokenWord]) -> Floats:
    """The sums over the tokens of each word, and what follows the last: (inputs, tokens + 1) to (inputs, words + 1)."""
    edges = [*(word.first for word in words), words[-1].end]
    sums: Floats = np.add.reduceat(scores.astype(float), edges, axis=1)
    return sums


def find_words(text: str, words: Sequence[TokenWord]) -> list[Word]:
    """The words with their places in the answer, where spaces may have been removed."""
    spans, position = [], 0
    for word in words:
        start = max(text.find(word.text, position), position)
        position = min(start + len(word.text), len(text))
        spans.append(Word(word.text, start, position))
    return spans


def choose(words: Sequence[Word], target: str | None) -> int | None:
    """The number of the word that is explained; None: all of them. Raises BadRequest."""
    if target is None:
        return None
    for index, word in enumerate(words):
        if word.text == target:
            return index
    raise no_target(target, "word")
