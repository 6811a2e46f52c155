"""image-classification: accuracy and F1 on labelled images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hearth_build.data.labelled_images import DATA_FORMAT, read
from hearth_build.evaluations.classes import Scores, classification_metrics, difference, scores_of, top_label
from hearth_build.pipeline.evaluation import Evaluation, measure_by
from hearth_build.recipe import Example
from hearth_functions.image_classification import app


def outputs(model: Any, examples: Sequence[Example]) -> list[Scores]:
    return scores_of(app, model, [example.inputs for example in examples])


def predict(model: Any, inputs: bytes) -> Scores:
    return scores_of(app, model, [inputs])[0]


EVALUATION = Evaluation(
    metric="accuracy",
    higher_is_better=True,
    data_format=DATA_FORMAT,
    read=read,
    measure=measure_by(outputs, classification_metrics),
    predict=predict,
    difference=difference,
    summarize=top_label,
    outputs=outputs,
    score=classification_metrics,
)
