"""The task table, from which everything that lists tasks derives."""

from __future__ import annotations

import re
from typing import get_args

import pytest

from hearth.protocols.open_inference.signatures import CODECS
from hearth.task_table import TASKS, Codec, Comparison, TaskRow
from hearth.tasks.golden import COMPARISONS
from tests.support import ROOT


@pytest.mark.parametrize("row", TASKS.values(), ids=list(TASKS))
def test_a_row_refers_to_what_exists(row: TaskRow) -> None:
    assert TASKS[row.id] is row
    assert (ROOT / "functions" / row.function / "app.py").is_file()
    assert row.codec in CODECS
    assert row.comparison in COMPARISONS
    assert set(row.models_of) <= TASKS.keys() - {row.id}
    assert row.heads
    assert row.binary is (row.input in ("image", "audio", "video"))
    assert row.preprocessing in ("text", "image", "audio", "table", "")


def test_no_codec_or_comparison_is_left_over() -> None:
    assert {row.codec for row in TASKS.values()} == set(get_args(Codec)) == set(CODECS)
    assert {row.comparison for row in TASKS.values()} == set(get_args(Comparison)) == set(COMPARISONS)


def test_videos_are_preprocessed_as_pictures() -> None:
    assert TASKS["object-tracking"].preprocessing == "image"
    assert TASKS["automatic-speech-recognition"].preprocessing == "audio"


def test_the_page_explains_the_tasks_that_have_explanations() -> None:
    script = (ROOT / "functions/catalog/page/explain.js").read_text(encoding="utf-8")
    listed = script[script.index("new Set([") : script.index("]);")]
    assert set(re.findall(r'"([a-z0-9-]+)"', listed)) == {row.id for row in TASKS.values() if row.parts}
