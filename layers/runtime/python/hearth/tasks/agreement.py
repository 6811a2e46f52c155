"""How far two versions' answers to the same request agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from hearth.ops.vision.boxes import box_iou
from hearth.tasks.distances import Scores, array_distance, leaves, score_distance, text_distance

CLOSE = 0.01
"""Numbers agree if they differ by at most this share of the largest one."""
OVERLAP = 0.5
"""Intersection over union from which two boxes are the same."""
MAX_BOXES = 100
MAX_CHARACTERS = 1000
"""Characters of a text whose distance is computed, which takes time with the square of them."""


class Agreement(NamedTuple):
    agreement: float
    """0 to 1: the share of the answer, or of its parts, that is the same."""
    distance: float
    """The largest difference of a score; for texts and vectors 1 minus their similarity; for other numbers relative to
    the largest one."""


def compare(comparison: str, first: Any, second: Any) -> Agreement:
    """Compare two responses of a task, as builtins; `comparison` is that of the task's row.

    An answer to several inputs is the average of the inputs. Raises what malformed answers raise.
    """
    answers = list(zip(_answers(first), _answers(second), strict=True))
    if not answers:
        return Agreement(1.0, 0.0)
    compared = [COMPARISONS[comparison](*pair) for pair in answers]
    return Agreement(float(np.mean([item.agreement for item in compared])), max(item.distance for item in compared))


def _answers(response: Any) -> list[Any]:
    """The answers of a response by input; one that answers a single input is one answer."""
    if isinstance(response, list) and response and all(isinstance(item, list) for item in response):
        return response
    return [response]


def _best(key: str, value: str = "score") -> Callable[[Any, Any], Agreement]:
    """Compare lists of names with scores, best first, by their best name."""

    def compare_best(first: Any, second: Any) -> Agreement:
        if not first or not second or not isinstance(first[0], dict):
            return _numbers(first, second)
        scores: list[Scores] = [{str(item[key]): item[value] for item in answer} for answer in (first, second)]
        return Agreement(float(first[0][key] == second[0][key]), score_distance(*scores))

    return compare_best


def _dice(first: Counter[Any], second: Counter[Any]) -> float:
    """The share of parts that both answers have (Sorensen and Dice)."""
    total = first.total() + second.total()
    return 2 * (first & second).total() / total if total else 1.0


def _spans(first: Any, second: Any) -> Agreement:
    scores = [
        {
            f"{span['start']} {span['end']} {span.get('entity_group') or span.get('entity')}": span["score"]
            for span in answer
        }
        for answer in (first, second)
    ]
    return Agreement(_dice(Counter(scores[0].keys()), Counter(scores[1].keys())), score_distance(*scores))


def _answer(first: Any, second: Any) -> Agreement:
    if isinstance(first, list):
        first, second = first[0], second[0]
    return Agreement(float(first["answer"] == second["answer"]), abs(first["score"] - second["score"]))


def _vectors(first: Any, second: Any) -> Agreement:
    if first and isinstance(first[0], dict):
        return _best("word")(first, second)
    vectors = np.asarray(first, float), np.asarray(second, float)
    if vectors[0].shape != vectors[1].shape:
        return Agreement(0.0, 1.0)
    lengths = np.linalg.norm(vectors[0]) * np.linalg.norm(vectors[1])
    similarity = float(vectors[0] @ vectors[1] / lengths) if lengths else 1.0
    return Agreement(max(similarity, 0.0), 1 - similarity)


def _boxes(first: Any, second: Any) -> Agreement:
    """Boxes are the same if their labels are, and they overlap by OVERLAP. The distance is that of their scores."""
    answers = [_drawn(answer)[:MAX_BOXES] for answer in (first, second)]
    if not all(answers):
        return Agreement(float(answers[0] == answers[1]), float(answers[0] != answers[1]))
    overlap = box_iou(*(_corners(answer) for answer in answers))
    for row, box in enumerate(answers[0]):
        for column, other in enumerate(answers[1]):
            if box["label"] != other["label"]:
                overlap[row, column] = 0
    matched, distance = 0, 0.0
    while (best := np.unravel_index(overlap.argmax(), overlap.shape)) and overlap[best] >= OVERLAP:
        matched += 1
        distance = max(distance, abs(answers[0][best[0]]["score"] - answers[1][best[1]]["score"]))
        overlap[best[0]], overlap[:, best[1]] = 0, 0
    return Agreement(2 * matched / sum(map(len, answers)), distance)


def _drawn(answer: Any) -> list[Any]:
    """The boxes of an answer, which may also have the picture with the boxes drawn in."""
    return answer if isinstance(answer, list) else next(value for value in answer.values() if isinstance(value, list))


def _corners(boxes: Sequence[Any]) -> Any:
    return np.array([[box["box"][side] for side in ("xmin", "ymin", "xmax", "ymax")] for box in boxes], np.float32)


def _tracks(first: Any, second: Any) -> Agreement:
    labels = [Counter(track["label"] for track in answer["tracks"]) for answer in (first, second)]
    agreement = _dice(*labels)
    return Agreement(agreement, 1 - agreement)


def _segments(first: Any, second: Any) -> Agreement:
    shares = [{segment["label"]: segment["share"] for segment in _drawn(answer)} for answer in (first, second)]
    common = sum(min(shares[0][label], shares[1][label]) for label in shares[0].keys() & shares[1].keys())
    total = max(sum(shares[0].values()), sum(shares[1].values()))
    return Agreement(common / total if total else 1.0, score_distance(*shares))


def _texts(first: Any, second: Any) -> Agreement:
    """The share of texts that are the same; several inputs have one each."""
    pairs = list(zip(_written(first), _written(second), strict=True))
    same = sum(text == other for text, other in pairs)
    distances = [text_distance(text[:MAX_CHARACTERS], other[:MAX_CHARACTERS]) for text, other in pairs if text != other]
    return Agreement(same / len(pairs), max(distances, default=0.0))


def _written(answer: Any) -> list[str]:
    """The texts of an answer; of several fields, the first text counts."""
    if isinstance(answer, str):
        return [answer]
    items = answer if isinstance(answer, list) else [answer]
    return [next(value for value in item.values() if isinstance(value, str)) for item in items]


def _numbers(first: Any, second: Any) -> Agreement:
    """Numbers and texts in any structure: the share of those that are the same or close."""
    values = list(leaves(first)), list(leaves(second))
    if len(values[0]) != len(values[1]):
        return Agreement(0.0, 1.0)
    largest = max((abs(value) for pair in values for value in pair if isinstance(value, int | float)), default=0.0)
    same = sum(
        abs(a - b) <= CLOSE * largest if isinstance(a, int | float) and isinstance(b, int | float) else a == b
        for a, b in zip(*values, strict=True)
    )
    return Agreement(same / len(values[0]) if values[0] else 1.0, array_distance(first, second))


COMPARISONS: dict[str, Callable[[Any, Any], Agreement]] = {
    "scores": _best("label"),
    "token_labels": _spans,
    "word_guesses": _best("token_str"),
    "answer": _answer,
    "vectors": _vectors,
    "boxes": _boxes,
    "tracks": _tracks,
    "transcript": _texts,
    "written_text": _texts,
    "ranking": _best("index"),
    "continuation": _texts,
    "segments": _segments,
    "table": _numbers,
    "table_scores": _best("label"),
    "tensors": _numbers,
}
"""By `comparison` of the task's row."""
