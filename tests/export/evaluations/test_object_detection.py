from __future__ import annotations

from typing import Any

import pytest

from hearth_build.evaluations.object_detection import EVALUATION, average_precision, difference

LABELS = ("cat", "dog")


def truth(label: str, *box: float, crowd: bool = False) -> dict[str, Any]:
    return {"label": label, "box": list(box), "crowd": crowd}


def detection(label: str, score: float, *box: float) -> dict[str, Any]:
    return {"label": label, "score": score, "box": list(box)}


def test_average_precision_of_hand_made_boxes() -> None:
    expected = [[truth("cat", 0, 0, 40, 40), truth("cat", 50, 50, 90, 90)], [truth("dog", 10, 10, 60, 60)]]
    correct = [
        [detection("cat", 0.9, 0, 0, 40, 40), detection("cat", 0.8, 50, 50, 90, 90)],
        [detection("dog", 0.7, 10, 10, 60, 60)],
    ]
    assert average_precision(LABELS, expected, correct) == pytest.approx(
        {"AP50": 1, "AP": 1, "AP50 cat": 1, "AP50 dog": 1}, abs=1e-6
    )
    # One of two cats is detected, after a false positive: half the recall at half the precision, at 51 of 101 points.
    half = [[detection("cat", 0.9, 60, 0, 90, 30), detection("cat", 0.8, 0, 0, 40, 40)], []]
    measured = average_precision(LABELS, expected, half)
    assert measured["AP50 cat"] == pytest.approx(0.5 * 51 / 101, abs=1e-6)
    assert measured["AP50 dog"] == 0
    # An overlap of 0.64 counts at 0.5, 0.55 and 0.6, of ten.
    loose = [[detection("cat", 0.9, 0, 0, 32, 32), detection("cat", 0.8, 50, 50, 82, 82)], correct[1]]
    measured = average_precision(LABELS, expected, loose)
    assert measured["AP50"] == pytest.approx(1, abs=1e-6)
    assert measured["AP"] == pytest.approx((0.3 + 1) / 2, abs=1e-6)


def test_no_detections_have_zero_precision() -> None:
    assert average_precision(LABELS, [[truth("cat", 0, 0, 9, 9)]], [[]]) == {"AP50": 0.0, "AP": 0.0}


def test_a_crowd_is_neither_a_miss_nor_a_false_positive() -> None:
    expected = [[truth("cat", 0, 0, 40, 40), truth("cat", 50, 0, 200, 90, crowd=True)]]
    detections = [[detection("cat", 0.9, 60, 10, 100, 80), detection("cat", 0.8, 0, 0, 40, 40)]]
    assert average_precision(LABELS, expected, detections)["AP50 cat"] == pytest.approx(1, abs=1e-6)


def output(*boxes: dict[str, Any]) -> dict[str, Any]:
    return {"threshold": 0.25, "boxes": list(boxes)}


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (output(), output(), 0),
        (output(detection("cat", 0.9, 0, 0, 10, 10)), output(detection("cat", 0.8, 0, 0, 10, 10)), 0.1),
        (output(detection("cat", 0.9, 0, 0, 10, 10)), output(detection("cat", 0.9, 0, 0, 10, 8)), 0.2),
        (output(detection("cat", 0.3, 0, 0, 10, 10)), output(), 0.05),
        (output(), output(detection("dog", 0.75, 0, 0, 10, 10)), 0.5),
        (output(detection("cat", 0.3, 0, 0, 9, 9)), output(detection("dog", 0.35, 0, 0, 9, 9)), 0.1),
    ],
)
def test_difference_of_two_outputs(first: dict[str, Any], second: dict[str, Any], expected: float) -> None:
    assert difference(first, second) == pytest.approx(expected, abs=1e-6)
    assert difference(second, first) == pytest.approx(expected, abs=1e-6)


def test_brief_counts_labels() -> None:
    boxes = [detection("dog", 0.5, 0, 0, 1, 1), detection("cat", 0.5, 0, 0, 1, 1), detection("dog", 0.5, 0, 0, 1, 1)]
    assert EVALUATION.summarize(output(*boxes)) == "1 cat, 2 dog"
