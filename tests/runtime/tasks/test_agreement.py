"""How far two answers agree, for each kind of answer."""

from __future__ import annotations

from typing import Any

import pytest

from hearth.task_table import TASKS
from hearth.tasks.agreement import COMPARISONS, compare


def labels(**scores: float) -> list[dict[str, Any]]:
    return [{"label": label, "score": score} for label, score in sorted(scores.items(), key=lambda item: -item[1])]


def box(label: str, score: float, *corners: int) -> dict[str, Any]:
    return {"label": label, "score": score, "box": dict(zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True))}


def entity(group: str, start: int, end: int) -> dict[str, Any]:
    return {"entity_group": group, "start": start, "end": end, "score": 0.9, "word": "x"}


def test_every_task_is_compared() -> None:
    assert {row.comparison for row in TASKS.values()} == COMPARISONS.keys()


@pytest.mark.parametrize(
    ("kind", "first", "second", "agreement", "distance"),
    [
        ("scores", labels(good=0.9, bad=0.1), labels(good=0.6, bad=0.4), 1.0, 0.3),
        ("scores", labels(good=0.6, bad=0.4), labels(good=0.4, bad=0.6), 0.0, 0.2),
        ("scores", [labels(good=0.9, bad=0.1)] * 2, [labels(good=0.9, bad=0.1), labels(good=0.2, bad=0.8)], 0.5, 0.7),
        ("scores", [], [], 1.0, 0.0),
        ("token_labels", [entity("PER", 0, 3)], [entity("PER", 0, 3), entity("LOC", 5, 9)], 2 / 3, 0.0),
        ("token_labels", [], [], 1.0, 0.0),
        ("word_guesses", [{"token_str": "a", "score": 0.5}], [{"token_str": "a", "score": 0.4}], 1.0, 0.1),
        ("answer", {"answer": "Bern", "score": 0.9}, {"answer": "Rome", "score": 0.7}, 0.0, 0.2),
        ("answer", [{"answer": "Bern", "score": 0.9}], [{"answer": "Bern", "score": 0.7}], 1.0, 0.2),
        ("vectors", [[1.0, 0.0]], [[1.0, 0.0]], 1.0, 0.0),
        ("vectors", [[1.0, 0.0]], [[0.0, 1.0]], 0.0, 1.0),
        ("vectors", [[1.0, 0.0]], [[1.0]], 0.0, 1.0),
        ("vectors", [{"word": "king", "score": 0.9}], [{"word": "king", "score": 0.8}], 1.0, 0.1),
        ("boxes", [box("cat", 0.9, 0, 0, 10, 10)], [box("cat", 0.8, 1, 0, 10, 10)], 1.0, 0.1),
        ("boxes", [box("cat", 0.9, 0, 0, 10, 10)], [box("dog", 0.9, 0, 0, 10, 10)], 0.0, 0.0),
        ("boxes", [box("cat", 0.9, 0, 0, 10, 10)], [], 0.0, 1.0),
        ("boxes", [], [], 1.0, 0.0),
        ("boxes", {"boxes": [box("cat", 0.9, 0, 0, 9, 9)], "picture": "x"}, [box("cat", 0.9, 0, 0, 9, 9)], 1.0, 0.0),
        ("tracks", {"tracks": [{"label": "cat"}, {"label": "cat"}]}, {"tracks": [{"label": "cat"}]}, 2 / 3, 1 / 3),
        ("transcript", {"text": "three"}, {"text": "three"}, 1.0, 0.0),
        ("written_text", [{"translation_text": "abcd"}], [{"translation_text": "abce"}], 0.0, 0.25),
        ("continuation", [{"generated_text": "x"}] * 2, [{"generated_text": "x"}, {"generated_text": "y"}], 0.5, 1.0),
        ("ranking", [{"index": 1, "score": 0.9}], [{"index": 1, "score": 0.7}], 1.0, 0.2),
        ("segments", [{"label": "sky", "share": 0.6}], [{"label": "sky", "share": 0.3}], 0.5, 0.3),
        ("table", [10.0, 20.0], [10.1, 25.0], 0.5, 0.25),
        ("table_scores", ["yes", "no"], ["yes", "yes"], 0.5, 1.0),
        ("tensors", [[1.0, 2.0]], [[1.0]], 0.0, 1.0),
    ],
)
def test_agreement_and_distance(kind: str, first: Any, second: Any, agreement: float, distance: float) -> None:
    assert compare(kind, first, second) == pytest.approx((agreement, distance))
