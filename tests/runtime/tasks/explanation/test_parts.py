"""Inputs without some of their parts."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any, get_args

import numpy as np
import pytest
import soundfile

from hearth.errors import BadRequest
from hearth.models.manifest import Limits
from hearth.models.preprocessing import Column, TablePreprocessing
from hearth.ops.audio.wav import float_wav
from hearth.task_table import Parts
from hearth.tasks.explanation.parts import COPIES, PARTS, Columns, Row, Segments, Texts, Words

RATE = 8000


def model(**fields: Any) -> Any:
    return SimpleNamespace(manifest=SimpleNamespace(limits=Limits(batch=100)), **fields)


def test_every_kind_of_the_task_table_has_its_class_and_its_memory() -> None:
    assert set(PARTS) == set(COPIES) == set(get_args(Parts))


def test_words_of_several_fields_are_left_out_but_never_a_mask() -> None:
    texts = Texts({"question": "Who is it?", "context": "It's [MASK], 北京."}, dict, "[MASK]")
    words = Words(texts, model())
    assert words.count == 4 + 5
    mask = np.zeros(words.count, bool)
    assert words.select(mask) == {"question": ".", "context": " [MASK] "}
    mask[[1, 4, 7]] = True
    assert words.select(mask) == {"question": " is ", "context": "It's [MASK] 京"}
    found = words.attributions(np.arange(9.0), np.zeros(9))
    assert [(word.field, word.text) for word in found[3:6]] == [
        ("question", "?"),
        ("context", "It's"),
        ("context", ","),
    ]
    assert all(texts.fields[word.field][word.start : word.end] == word.text for word in found)


def test_a_text_without_words_has_no_parts() -> None:
    with pytest.raises(BadRequest, match="no words"):
        Words(Texts({"": "  "}, dict), model())


def test_segments_that_are_left_out_are_silent_and_fade() -> None:
    samples = np.ones(RATE, np.float32)
    segments = Segments(float_wav(samples, RATE), model(preprocessing=SimpleNamespace(rate=RATE)))
    assert segments.count == 10
    mask = np.ones(10, bool)
    assert np.array_equal(read(segments.select(mask)), samples)
    mask[3:5] = False
    part = read(segments.select(mask))
    assert len(part) == RATE
    assert not part[2450:3950].any()
    assert (part[:2350] == 1).all()
    assert (part[4050:] == 1).all()
    assert np.abs(np.diff(part)).max() < 0.02  # no click
    times = segments.attributions(np.zeros(10), np.zeros(10))
    assert (times[3].start, times[4].end) == (0.3, 0.5)


@pytest.mark.parametrize(("seconds", "count"), [(0.05, 1), (3.0, 30), (60.0, 128)])
def test_long_recordings_have_longer_segments(seconds: float, count: int) -> None:
    data = float_wav(np.zeros(int(seconds * RATE), np.float32), RATE)
    assert Segments(data, model(preprocessing=SimpleNamespace(rate=RATE))).count == count


def read(data: bytes) -> np.ndarray:
    samples: np.ndarray = soundfile.read(io.BytesIO(data), dtype="float32")[0]
    return samples


def test_columns_that_are_left_out_have_the_values_of_the_reference() -> None:
    table = TablePreprocessing((Column("a", "x"), Column("b", "x")))
    row = Row({"a": 1, "b": 2, "unused": 3}, [{"a": 10, "b": 20}, {"a": 30, "b": 40}])
    columns = Columns(row, model(preprocessing=table))
    assert columns.count == 2
    assert columns.batch == 50  # of two rows each
    assert columns.select(np.array([True, False])) == [{"a": 1, "b": 20}, {"a": 1, "b": 40}]
