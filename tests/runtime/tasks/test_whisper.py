"""Whisper's transcription with a decoder that says what is scripted: languages, prompts, windows and silence."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from hearth.errors import BadRequest
from hearth.models.heads import Whisper
from hearth.models.preprocessing import AudioPreprocessing
from hearth.tasks.whisper import Options, transcribe

WORDS = ["hello", "world", "again"]
SPECIAL = ["<eot>", "<sot>", "<en>", "<de>", "<transcribe>", "<translate>", "<prev>", "<nospeech>", "<notimes>"]
TOKENS = [*WORDS, *SPECIAL]
EOT, SOT, EN, DE, TRANSCRIBE, TRANSLATE, PREVIOUS, NO_SPEECH, NO_TIMES = range(3, 12)
PROMPT = {SOT, EN, DE, TRANSCRIBE, TRANSLATE, NO_TIMES}
BEGIN = len(TOKENS)
VOCABULARY = BEGIN + 1501
RATE = 16_000
PREPROCESSING = AudioPreprocessing(RATE, 400, 160, 400, 80, 0.0, 8000.0, "none", "whisper")


def head(**changes: Any) -> Whisper:
    fields: dict[str, Any] = {
        "tokenizer": "tokenizer.json",
        "max_tokens": 40,
        "layers": 1,
        "heads": 1,
        "head_size": 2,
        "start": SOT,
        "eos": EOT,
        "timestamps": BEGIN,
        "no_timestamps": NO_TIMES,
        "no_speech": NO_SPEECH,
        "previous": PREVIOUS,
        "languages": {"en": EN, "de": DE, "english": EN, "german": DE},
        "tasks": {"transcribe": TRANSCRIBE, "translate": TRANSLATE},
        "suppressed": (SOT, EN, DE, TRANSCRIBE, TRANSLATE, PREVIOUS, NO_SPEECH),
    }
    return Whisper(**fields | changes)


class Scripted:
    """A model whose decoder generates the tokens of `windows`, one list for each window, and remembers its prompts."""

    preprocessing = PREPROCESSING
    input_names = {"main": ["input_features"], "decoder": ["input_ids", "cross_key_0", "cross_value_0", "k", "v"]}  # noqa: RUF012

    def __init__(self, windows: list[list[int]], no_speech: float = 0.0, **changes: Any) -> None:
        self.head, self.windows, self.no_speech = head(**changes), windows, no_speech
        self.prompts: dict[int, list[int]] = {}
        self.fed: list[int] = []
        self.window = -1
        self.manifest = SimpleNamespace(graphs={"decoder": SimpleNamespace(inputs=[SimpleNamespace(shape=(1, "new"))])})
        self.tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(TOKENS)}, "<eot>"))
        self.tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        self.sizes: set[int] = set()

    def run(self, feeds: dict[str, Any], role: str = "main") -> list[Any]:
        if role == "main":
            if self.fed != [SOT]:  # after which the language was asked
                self.window += 1
            self.fed = []
            return [np.zeros((1, 1, 2, 1500), np.float32), np.zeros((1, 1, 1500, 2), np.float32)]
        self.fed += feeds["input_ids"][0].tolist()
        self.sizes.add(feeds["input_ids"].shape[1])
        logits = np.zeros((1, VOCABULARY), np.float32)
        if self.fed[-1] == SOT:
            logits[0, DE], logits[0, 0] = 4.0, 3.0
            logits[0, NO_SPEECH] = np.log(self.no_speech * VOCABULARY + 1)
        elif SOT in self.fed:
            logits[0, self.next_token()] = 20.0
        return [logits, *(np.zeros((1, 1, len(self.fed), 2), np.float32) for _ in range(2))]

    def next_token(self) -> int:
        prompt = max(index for index, token in enumerate(self.fed) if token in PROMPT) + 1
        generated = self.fed[prompt:]
        if not generated:
            self.prompts[self.window] = list(self.fed)
        return [*self.windows[self.window], EOT][len(generated)]


def sound(seconds: float) -> np.ndarray[Any, Any]:
    return np.sin(np.arange(int(seconds * RATE)) / 9).astype(np.float32)


def test_the_language_is_found_and_the_text_has_no_times_unless_they_are_requested() -> None:
    model = Scripted([[0, 1]])
    transcript = transcribe(model, sound(2), Options())  # type: ignore[arg-type]
    assert (transcript.text, transcript.language, transcript.tokens) == ("hello world", "de", 2)
    assert model.prompts == {0: [SOT, DE, TRANSCRIBE, NO_TIMES]}
    assert [(part.start, part.end) for part in transcript.segments] == [(0.0, 2.0)]


def test_a_language_a_task_and_a_prompt_are_passed_on() -> None:
    model = Scripted([[0]])
    options = Options(language="English", task="translate", prompt="again")
    transcript = transcribe(model, sound(1), options)  # type: ignore[arg-type]
    assert transcript.language == "en"
    assert model.prompts == {0: [PREVIOUS, 2, SOT, EN, TRANSLATE, NO_TIMES]}


def test_a_long_recording_is_read_window_by_window_from_the_last_complete_segment() -> None:
    first = [BEGIN, 0, BEGIN + 1000, BEGIN + 1000, 1]  # the second sentence is cut off after 20 seconds
    model = Scripted([first, [BEGIN, 1, BEGIN + 250, BEGIN + 250, 2, BEGIN + 500]])
    transcript = transcribe(model, sound(35), Options(language="en"))  # type: ignore[arg-type]
    assert [(part.text, part.start, part.end) for part in transcript.segments] == [
        ("hello", 0.0, 20.0),
        ("world", 20.0, 25.0),
        ("again", 25.0, 30.0),
    ]


def test_a_window_that_is_surely_silence_has_no_text() -> None:
    changes: dict[str, Any] = {"languages": {}, "tasks": {}, "no_timestamps": None, "timestamps": None}
    assert transcribe(Scripted([[0]], no_speech=0.0, **changes), sound(1), Options()).text == "hello"  # type: ignore
    assert transcribe(Scripted([[0]], no_speech=9.0, **changes), sound(1), Options()).text == ""  # type: ignore


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({}, Options(language="fr"), "knows the languages de, en"),
        ({"languages": {}}, Options(language="de"), "does not know the language"),
        ({"languages": {}}, Options(task="translate"), "does not translate"),
        ({"timestamps": None}, Options(timestamps=True), "has no timestamps"),
        ({"previous": None}, Options(language="en", prompt="x"), "does not take a `prompt`"),
    ],
)
def test_what_a_model_cannot_do_is_refused(changes: dict[str, Any], options: Options, message: str) -> None:
    with pytest.raises(BadRequest, match=message):
        transcribe(Scripted([[0]], **changes), sound(1), options)  # type: ignore[arg-type]


def test_a_graph_of_one_token_at_a_time_is_fed_one_by_one() -> None:
    model = Scripted([[0, 1]])
    model.manifest.graphs["decoder"].inputs[0].shape = (1, 1)
    transcript = transcribe(model, sound(1), Options(language="en", prompt="again"))  # type: ignore[arg-type]
    assert transcript.text == "hello world"
    assert model.sizes == {1}
