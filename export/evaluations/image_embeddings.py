"""zero-shot-image-classification and image-feature-extraction: accuracy on a folder of images per class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hearth_build.evaluations.classes import Scores, classification_metrics, top_label
from hearth_build.evaluations.classes import difference as score_difference
from hearth_build.evaluations.image_classification import read as read_folders
from hearth_build.pipeline.evaluation import Evaluation
from hearth_build.recipe import Example
from hearth_functions.image_embeddings import app

DATA_FORMAT = (
    "a folder with one folder of images per class, named as a caller would name it; a model without texts is measured "
    "by the class of each image's nearest other image"
)


def read(path: Path) -> list[Example]:
    return read_folders(path)


def measure(model: Any, examples: Sequence[Example]) -> dict[str, float]:
    labels = sorted({str(example.expected) for example in examples})
    numbered = [Example(example.inputs, labels.index(str(example.expected))) for example in examples]
    if model.head.tokenizer is not None:
        scores = [predict(model, {"inputs": example.inputs, "candidate_labels": labels}) for example in numbered]
        return classification_metrics(labels, numbered, scores)
    vectors = np.array([predict(model, example.inputs) for example in numbered])
    similarities = vectors @ vectors.T - 2 * np.eye(len(vectors))
    expected = np.array([example.expected for example in numbered])
    return {"accuracy": float((expected[similarities.argmax(1)] == expected).mean())}


def predict(model: Any, inputs: bytes | dict[str, Any]) -> Scores | list[float]:
    """Scores for a picture with candidate labels, the vector of a picture alone."""
    if isinstance(inputs, bytes):
        vector: list[float] = app.predict_vectors(model, app.EmbeddingRequest(inputs)).output[0]
        return vector
    parameters = app.Parameters(inputs["candidate_labels"])
    output = app.predict(model, app.Request(inputs["inputs"], parameters)).output
    return {label.label: label.score for label in output}


def difference(first: Any, second: Any) -> float:
    """The largest difference of a score, or one minus the cosine of two vectors."""
    if isinstance(first, dict):
        return score_difference(first, second)
    return 1 - float(np.dot(first, second) / (np.linalg.norm(first) * np.linalg.norm(second)))


def summarize(answer: Any) -> str:
    return top_label(answer) if isinstance(answer, dict) else f"{len(answer)} numbers"


EVALUATION = Evaluation("accuracy", True, DATA_FORMAT, read, measure, predict, difference, summarize)
