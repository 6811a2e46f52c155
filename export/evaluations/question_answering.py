"""question-answering: exact match and F1 of words, as in SQuAD's evaluation script (Rajpurkar et al. 2016)."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence
from typing import Any

from hearth_build.data import questions
from hearth_build.pipeline.evaluation import Evaluation, measure_by
from hearth_build.recipe import Example
from hearth_functions.question_answering import app


def outputs(model: Any, examples: Sequence[Example]) -> list[str]:
    """The answer to each question. It may be empty if a question of the data set has no answer."""
    parameters = app.Parameters(handle_impossible_answer=any(not example.expected for example in examples))
    return [
        app.predict(model, app.Request(app.Pair(**example.inputs), parameters)).output.answer for example in examples
    ]


def score(model: Any, examples: Sequence[Example], results: Sequence[str]) -> dict[str, float]:
    """Metrics between 0 and 1."""
    exact = f1 = 0.0
    for example, result in zip(examples, results, strict=True):
        predicted = normalize(result)
        references = [normalize(answer.text) for answer in example.expected] or [[]]
        exact += max(predicted == reference for reference in references)
        f1 += max(word_f1(predicted, reference) for reference in references)
    return {"F1": f1 / len(examples), "exact match": exact / len(examples)}


def normalize(text: str) -> list[str]:
    """Lower-case words without articles and punctuation."""
    without_punctuation = "".join(character for character in text.lower() if character not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", without_punctuation).split()


def word_f1(predicted: list[str], reference: list[str]) -> float:
    if not predicted or not reference:
        return float(predicted == reference)
    common = sum((Counter(predicted) & Counter(reference)).values())
    return 2 * common / (len(predicted) + len(reference))


def predict(model: Any, inputs: dict[str, str]) -> dict[str, Any]:
    output = app.predict(model, app.Request(app.Pair(**inputs))).output
    return {"answer": output.answer, "start": output.start, "score": output.score}


def difference(first: dict[str, Any], second: dict[str, Any]) -> float:
    """The difference of the scores; for different answers, the least that the score of one of them must differ by.

    A model scores the other one's answer at most as high as its own answer, and at most 1 less that score.
    """
    score, other_score = first["score"], second["score"]
    if (first["answer"], first["start"]) == (second["answer"], second["start"]):
        return float(abs(score - other_score))
    return float(max(score - min(other_score, 1 - other_score), other_score - min(score, 1 - score), 0.0))


def summarize(output: dict[str, Any]) -> str:
    return str(output["answer"])


EVALUATION = Evaluation(
    metric="F1",
    higher_is_better=True,
    data_format=questions.DATA_FORMAT,
    read=questions.read,
    measure=measure_by(outputs, score),
    predict=predict,
    difference=difference,
    summarize=summarize,
    outputs=outputs,
    score=score,
)
