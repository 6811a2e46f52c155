"""A prompt that begins as an earlier text is answered as without it, for its own tenant alone and within the memory."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hearth import settings
from hearth.auth import api_keys
from hearth.models.model import Model
from hearth.tasks import prefix_cache
from hearth.tasks.generation import KeyValueCache, Sampling, generate
from hearth.tasks.task import Usage
from hearth_build.importing import read
from hearth_build.importing.base import ImportOptions
from tests.export.importing import decoder_checkpoints

SYSTEM = np.random.default_rng(1).integers(2, decoder_checkpoints.V, 60).tolist()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = tmp_path_factory.mktemp("prefix")
    decoder_checkpoints.save(work / "model", "llama")
    imported = read(str(work / "model"), ImportOptions(name="tiny"))
    assert imported.build is not None
    imported.build(work / "work", "", "int8")
    return work / "work" / "artifact"


@pytest.fixture
def model(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Model[Any, Any]]:
    from hearth.models.manifest import parse

    monkeypatch.setenv("HEARTH_PREFIX_MEMORY_MB", "1")
    settings.get.cache_clear()
    prefix_cache.clear()
    yield Model(parse((folder / "manifest.json").read_bytes()), folder, threads=1)
    prefix_cache.clear()
    settings.get.cache_clear()


def answer(model: Model[Any, Any], prompt: list[int]) -> tuple[list[int], int]:
    """The generated tokens, and how many of the prompt's were there."""
    usage = Usage()
    pieces = list(generate(model, prompt, 12, Sampling(), usage=usage))
    return [piece.token for piece in pieces], usage.cached_tokens


def test_a_common_beginning_is_not_read_again(model: Model[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    questions = [[*SYSTEM, *range(start, start + 9)] for start in (10, 40, 70)]
    expected = []
    for question in questions:
        prefix_cache.clear()
        tokens, cached = answer(model, question)
        assert cached == 0
        expected.append(tokens)
    prefix_cache.clear()
    read_tokens: list[int] = []
    read_one = KeyValueCache.read

    def read_and_count(cache: KeyValueCache, tokens: Any, *rows: Any) -> Any:
        read_tokens.append(len(tokens))
        return read_one(cache, tokens, *rows)

    monkeypatch.setattr(KeyValueCache, "read", read_and_count)
    for number, question in enumerate(questions):
        read_tokens.clear()
        tokens, cached = answer(model, question)
        assert tokens == expected[number]
        assert cached == (0 if number == 0 else len(SYSTEM))
        assert read_tokens[0] == len(question) - cached


def test_a_conversation_goes_on_where_it_was(model: Model[Any, Any]) -> None:
    tokens, _ = answer(model, SYSTEM)
    following = [*SYSTEM, *tokens[:-1], 5, 6, 7]
    assert answer(model, following)[1] == len(SYSTEM) + len(tokens) - 1
    assert answer(model, following)[1] == len(following) - 1  # the last token's logits are always computed


def test_tenants_do_not_share(model: Model[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    answer(model, SYSTEM)
    monkeypatch.setattr(prefix_cache, "current_tenant", lambda: "another")
    assert answer(model, SYSTEM)[1] == 0
    assert answer(model, SYSTEM)[1] == len(SYSTEM) - 1
    assert api_keys.current_tenant() == ""


def test_memory_is_bounded_and_the_oldest_text_leaves(model: Model[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    head = model.head
    per_token = 4 * 2 * head.layers * head.kv_heads * head.head_size
    monkeypatch.setenv("HEARTH_PREFIX_MEMORY_MB", str(2.5 * per_token * 75 / settings.MEGABYTE))
    settings.get.cache_clear()
    texts = [[start, *SYSTEM[1:]] for start in (2, 3, 4)]
    for text in texts:
        answer(model, text)
    assert [answer(model, text)[1] > 0 for text in (texts[2], texts[1], texts[0])] == [True, True, False]
    monkeypatch.setenv("HEARTH_PREFIX_MEMORY_MB", "0")
    settings.get.cache_clear()
    prefix_cache.clear()
    assert [answer(model, SYSTEM)[1] for _ in range(2)] == [0, 0]


def test_texts_of_an_evicted_model_leave_with_it(folder: Path, model: Model[Any, Any]) -> None:
    other = Model[Any, Any](model.manifest, folder, threads=1)
    answer(other, SYSTEM)
    assert answer(model, SYSTEM)[1] == 0
    del other
    gc.collect()
    answer(model, [9, *SYSTEM])
    assert all(entry.model() is model for entry in prefix_cache._entries)


def test_an_abandoned_text_can_be_reused(model: Model[Any, Any]) -> None:
    pieces = generate(model, SYSTEM, 12, Sampling())
    next(pieces)
    pieces.close()  # type: ignore[attr-defined]
    assert answer(model, SYSTEM)[1] == len(SYSTEM) - 1
