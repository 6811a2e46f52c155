"""text-classification: accuracy and F1 on labelled texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hearth.models.heads import Entailment
from hearth_build.data.labelled_texts import DATA_FORMAT, read
from hearth_build.evaluations.classes import (
    Scores,
    classification_metrics,
    difference,
    expected_labels,
    metrics_of,
    scores_of,
    top_label,
)
from hearth_build.pipeline.evaluation import Evaluation, measure_by
from hearth_build.recipe import Example
from hearth_functions.text_classification import app


def outputs(model: Any, examples: Sequence[Example]) -> list[Scores]:
    """The candidate labels of a zero-shot classifier are the labels of the examples."""
    texts = [example.inputs for example in examples]
    if isinstance(model.manifest.head, Entailment):
        labels = sorted({str(example.expected) for example in examples})
        return [predict_zero_shot(model, {"inputs": text, "candidate_labels": labels}) for text in texts]
    return scores_of(app, model, texts)


def score(model: Any, examples: Sequence[Example], scores: Sequence[Scores]) -> dict[str, float]:
    if isinstance(model.manifest.head, Entailment):
        labels = sorted(scores[0])
        return metrics_of(labels, expected_labels(model.manifest.model, labels, examples), scores)
    return classification_metrics(model, examples, scores)


def predict(model: Any, inputs: str | dict[str, Any]) -> Scores:
    """Scores for a text, or for `{"inputs", "candidate_labels"}` by a zero-shot classifier."""
    return scores_of(app, model, [inputs])[0] if isinstance(inputs, str) else predict_zero_shot(model, inputs)


def predict_zero_shot(model: Any, inputs: dict[str, Any]) -> Scores:
    parameters = app.ZeroShotParameters(inputs["candidate_labels"])
    output = app.predict_zero_shot(model, app.ZeroShotRequest(inputs["inputs"], parameters)).output
    return {score.label: score.score for score in output}


EVALUATION = Evaluation(
    metric="accuracy",
    higher_is_better=True,
    data_format=DATA_FORMAT,
    read=read,
    measure=measure_by(outputs, score),
    predict=predict,
    difference=difference,
    summarize=top_label,
    outputs=outputs,
    score=score,
)
