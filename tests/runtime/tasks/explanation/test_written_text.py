"""Words of a translation are attributed to the words that they are translated from, by a model that is a dictionary."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from hearth.errors import BadRequest
from hearth.models.heads import Seq2Seq
from hearth.models.manifest import Limits
from hearth.models.preprocessing import TextPreprocessing
from hearth.ops.text.token_words import TokenWord
from hearth.tasks import explanation
from hearth.tasks.explanation.written_text import find_words, sum_words
from hearth_functions.translation import app

DICTIONARY = {"black": "schwarzer", "dog": "hund", "runs": "rennt", "snow": "schnee"}
VOCABULARY = ["<pad>", "</s>", *DICTIONARY, *DICTIONARY.values(), "[UNK]", "."]
PAD, END = 0, 1


class Dictionary:
    """Writes the German word of each English word, in their order; a word that is not there is unlikely."""

    head = Seq2Seq(layers=1, heads=1, head_size=1, start=PAD, eos=END, max_new=10)
    preprocessing = TextPreprocessing("tokenizer.json", 20, PAD)
    manifest = SimpleNamespace(limits=Limits(batch=32), model="dictionary")
    input_names = {"decoder": ["input_ids", "attention_mask", "cross_key", "cross_value", "key", "value"]}  # noqa: RUF012

    def __init__(self) -> None:
        ids = {word: index for index, word in enumerate(VOCABULARY)}
        self.tokenizer = Tokenizer(models.WordLevel(ids, "[UNK]"))
        self.tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        self.tokenizer.decoder = decoders.WordPiece()

    def run(self, feeds: dict[str, Any], role: str = "main") -> list[Any]:
        if role == "main":
            return [feeds["input_ids"], feeds["attention_mask"]]
        past = feeds["key"]  # (rows, 1, tokens, 1)
        logits = np.zeros((len(past), len(VOCABULARY)), np.float32)
        for row, (ids, mask) in enumerate(zip(feeds["cross_key"], feeds["cross_value"], strict=True)):
            words = [int(word) + len(DICTIONARY) for word in ids[mask > 0] if 2 <= word < 2 + len(DICTIONARY)]
            written = [*past[row, 0, :, 0], feeds["input_ids"][row, 0]]
            for word in words:
                logits[row, word] = 0.0 if word in written else 8.0 - words.index(word)
            logits[row, END] = 4.5
        grown = np.concatenate([past, feeds["input_ids"][:, None, :, None].astype(np.float32)], 2)
        return [logits, grown, grown]


def explain(text: str, **options: Any) -> dict[str, Any]:
    document = {"inputs": text, "parameters": {"explain": options or True}}
    request = msgspec.convert(document, app.Request)
    return msgspec.to_builtins(app.TASKS[0].predict(Dictionary(), request).output)  # type: ignore[arg-type]


def test_each_word_is_due_to_the_word_that_it_is_translated_from() -> None:
    body = explain("black dog runs snow", runs=100)
    assert body["predictions"] == [{"translation_text": "schwarzer hund rennt schnee"}]
    result = body["explanation"]
    assert result["measure"] == "log-probability"
    assert [part["text"] for part in result["parts"]] == list(DICTIONARY)
    assert [word["text"] for word in result["outputs"]] == list(DICTIONARY.values())
    for index, word in enumerate(result["outputs"]):
        values = word["values"]
        assert int(np.argmax(values)) == index
        assert values[index] > 3 * max(value for other, value in enumerate(values) if other != index)
        assert sum(values) == pytest.approx(word["score"] - word["base_score"])
        assert word["text"] == body["predictions"][0]["translation_text"][word["start"] : word["end"]]
    total = sum(part["value"] for part in result["parts"])
    assert total == pytest.approx(result["score"] - result["base_score"])


def test_a_word_of_the_text_can_be_chosen() -> None:
    result = explain("black dog runs snow", target="hund")["explanation"]
    values = {part["text"]: part["value"] for part in result["parts"]}
    assert max(values, key=lambda name: values[name]) == "dog"
    assert [*values.values()] == pytest.approx(result["outputs"][1]["values"])
    assert result["score"] == pytest.approx(result["outputs"][1]["score"])
    with pytest.raises(BadRequest, match="no word"):
        explain("black dog", target="katze")


def test_a_text_without_an_answer_has_no_explanation() -> None:
    with pytest.raises(BadRequest, match="nothing to explain"):
        explain("   ")


def test_slow_runs_are_not_started_shortly_before_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []
    monkeypatch.setattr(explanation.deadline, "expires_within", lambda seconds: bool(asked.append(seconds)))
    score_of = explanation.score_of

    def slow(subject: Any, parts: Any) -> Any:
        score = score_of(subject, parts)
        return lambda masks: (time.sleep(0.05), score(masks))[1]

    monkeypatch.setattr(explanation, "score_of", slow)
    explain("black dog runs snow " * 3, runs=60)
    assert len(asked) > 3
    assert min(asked) >= explanation.SECONDS_LEFT + 2 * 0.05


def test_usage_counts_the_tokens_of_all_runs() -> None:
    request = msgspec.convert({"inputs": "black dog", "parameters": {"explain": True}}, app.Request)
    usage = app.TASKS[0].predict(Dictionary(), request).usage  # type: ignore[arg-type]
    assert usage.input_tokens > 2 + 4  # of the prediction, and of four sets of words
    assert usage.output_tokens == 2


def test_tokens_are_summed_by_word_and_the_rest_is_kept() -> None:
    scores = np.array([[1.0, 2.0, 4.0, 8.0]])
    words = [TokenWord("a", 0, 2), TokenWord("b", 2, 3)]
    assert sum_words(scores, words).tolist() == [[3, 4, 8]]


def test_words_are_found_where_spaces_were_removed() -> None:
    spans = find_words("a dog. a", [TokenWord(text, 0, 0) for text in ("a", "dog", ".", "a")])
    assert [(word.start, word.end) for word in spans] == [(0, 1), (2, 5), (5, 6), (7, 8)]
