"""Texts are the same with prompt lookup as without, whatever the request asks for, and repetitions take fewer runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from hearth.models.manifest import parse
from hearth.models.model import Model
from hearth.tasks import generation
from hearth.tasks.generation import KeyValueCache, Piece, Sampling, generate
from hearth.tasks.prompt_lookup import FIRST_PAUSE, LONGEST_DRAFT, NGRAM, PromptLookup
from hearth_build.importing import read
from hearth_build.importing.base import ImportOptions
from tests.export.importing import decoder_checkpoints

VOCABULARY = decoder_checkpoints.V
CASES: dict[str, tuple[Sampling, dict[str, Any]]] = {
    "greedy": (Sampling(), {}),
    "log-probabilities": (Sampling(), {"top": 3}),
    "penalties": (Sampling(repetition=1.05, presence=0.2, frequency=0.1), {}),
    "sampling": (Sampling(temperature=0.7, top_p=0.9, seed=11), {}),
    "bias": (Sampling(temperature=0.3, top_k=5, bias={7: 2.0}, seed=4), {"ignore_eos": True}),
}


class Plain:
    """In place of PromptLookup: one run for each token."""

    def __init__(self, cache: KeyValueCache, capacity: int) -> None:
        self.cache = cache

    def read(self, token: int) -> Any:
        return self.cache.read([token])[0]


class EveryThird:
    """A grammar: of the tokens a third may come next, another third each time."""

    def __init__(self) -> None:
        self.count = 0

    def allowed(self) -> np.ndarray:
        return np.arange(VOCABULARY) % 3 == self.count % 3

    def accept(self, token: int) -> bool:
        assert token % 3 == self.count % 3
        self.count += 1
        return self.count == 35


@pytest.fixture(scope="module", params=["llama", "gemma3"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Model[Any, Any]:
    work: Path = tmp_path_factory.mktemp("lookup")
    decoder_checkpoints.save(work / "model", request.param)
    imported = read(str(work / "model"), ImportOptions(name="tiny"))
    assert imported.build is not None
    manifest, _ = imported.build(work / "work", "", "fp32")
    assert manifest.head is not None
    folder = work / "work" / "artifact"
    return Model(parse((folder / "manifest.json").read_bytes()), folder, threads=1)


def prompts() -> Iterator[list[int]]:
    for seed in range(3):
        random = np.random.default_rng(seed)
        part = random.integers(2, VOCABULARY, 9).tolist()
        yield part * 4
        yield random.integers(2, VOCABULARY, 30).tolist()


def compare(both: Sequence[list[Piece]]) -> None:
    for ours, expected in zip(*both, strict=True):
        assert (ours.token, ours.text, ours.finish, ours.special) == (
            expected.token,
            expected.text,
            expected.finish,
            expected.special,
        )
        assert ours.logprob == pytest.approx(expected.logprob, abs=1e-3)
        assert [entry[0] for entry in ours.top] == [entry[0] for entry in expected.top]


@pytest.mark.parametrize("case", CASES)
def test_a_text_is_the_same(model: Model[Any, Any], case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sampling, options = CASES[case]
    for prompt in prompts():
        both = []
        for reader in (PromptLookup, Plain):
            monkeypatch.setattr(generation, "PromptLookup", reader)
            both.append(list(generate(model, prompt, 60, sampling, **options)))
        compare(both)


def test_stop_strings_and_grammars_end_it_at_the_same_place(
    model: Model[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for prompt in prompts():
        text = "".join(piece.text for piece in generate(model, prompt, 50, Sampling(), ignore_eos=True))
        for options in ({"stop": [text[40:43]]}, {"constraint": EveryThird}):
            both = []
            for reader in (PromptLookup, Plain):
                monkeypatch.setattr(generation, "PromptLookup", reader)
                arguments: Any = {name: value() if callable(value) else value for name, value in options.items()}
                both.append(list(generate(model, prompt, 50, Sampling(), ignore_eos=True, **arguments)))
            compare(both)


def test_rounded_activations_get_no_drafts(model: Model[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def lookup(*arguments: Any) -> Any:
        raise AssertionError("a draft")

    monkeypatch.setattr(generation, "PromptLookup", lookup)
    with pytest.raises(AssertionError, match="a draft"):
        list(generate(model, [5, 6, 7], 4, Sampling()))
    for method in ("dynamic-int8", "int4-blocks"):
        quantization = replace(model.manifest.quantization, method=method)
        monkeypatch.setattr(model, "manifest", replace(model.manifest, quantization=quantization))
        assert list(generate(model, [5, 6, 7], 4, Sampling()))


class ScriptedCache:
    """A cache whose logits name the next token of a script."""

    def __init__(self, prompt: list[int], script: list[int]) -> None:
        self.tokens, self.script, self.runs = list(prompt), [*prompt, *script, 0], list[int]()

    def read(self, tokens: Sequence[int], rows: Sequence[int] = (-1,)) -> np.ndarray:
        start = len(self.tokens)
        self.tokens += tokens
        self.runs.append(len(tokens))
        logits = np.zeros((len(rows), 1000), np.float32)
        for index, row in enumerate(rows):
            logits[index, self.script[start + row % len(tokens) + 1]] = 1
        return logits


def follow(prompt: list[int], script: list[int]) -> list[int]:
    """Tokens of each run while the script is generated."""
    cache = ScriptedCache(prompt, script)
    lookup = PromptLookup(cache, len(prompt) + len(script))  # type: ignore[arg-type]
    for number, token in enumerate(script[:-1]):
        assert lookup.read(token).argmax() == script[number + 1]
        assert cache.tokens == [*prompt, *script[: number + 1]]
    assert max(cache.runs) <= LONGEST_DRAFT + 1
    return cache.runs


def test_a_text_that_repeats_the_prompt_takes_few_runs() -> None:
    prompt = list(range(100, 200))
    runs = follow(prompt, prompt[20:90])
    assert len(runs) < 70 / 5
    assert sum(runs) < 1.2 * 70


def test_a_text_without_repetitions_has_no_drafts() -> None:
    assert set(follow(list(range(100, 200)), list(range(300, 400)))) == {1}


def test_drafts_in_vain_become_rare() -> None:
    beginning = list(range(1, 1 + NGRAM))
    prompt = [*beginning, 900, 901, 902, 903]
    script = [token for number in range(60) for token in (*beginning, 100 + number)]
    runs = follow(prompt, script)
    drafts = [number for number, count in enumerate(runs) if count > 1]
    assert 2 <= len(drafts) <= 6
    assert np.diff(drafts).min() >= FIRST_PAUSE


def test_drafts_end_with_the_room_of_the_cache() -> None:
    prompt = list(range(100, 130))
    assert sum(follow(prompt, prompt[:6])) <= 6
