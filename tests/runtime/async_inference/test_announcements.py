"""What is announced of a result: the top label and its score, and nothing of the payload."""

from __future__ import annotations

from typing import Any

import pytest

from hearth.async_inference.announcements import Announcement, describe
from hearth.async_inference.results import Result

INPUT = {"bucket": "inbox", "key": "uploads/m/a.txt", "etag": "e", "sequencer": "0A", "version": "v1"}
LABELS = [{"label": "good", "score": 0.2}, {"label": "bad", "score": 0.8}]


@pytest.mark.parametrize(
    ("output", "label", "score"),
    [
        (LABELS, "bad", 0.8),
        ([LABELS], "bad", 0.8),
        ([{"label": "cell", "score": 0.9, "box": {"xmin": 1}}], "cell", 0.9),
        ([], "", None),
        ([{"generated_text": "secret"}], "", None),
        ({"text": "secret", "score": 0.5}, "", None),
    ],
)
def test_the_top_label_is_announced_and_no_payload(output: Any, label: str, score: float | None) -> None:
    announcement = describe(Result("m", "2", INPUT, output), "a-task")
    assert announcement == Announcement("uploads/m/a.txt@v1", "uploads/m/a.txt", "m", "2", "a-task", label, score)
