"""token-classification: precision, recall and F1 of whole entities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hearth.ops.text.entities import get_tag
from hearth_build.data.datasets import DataError
from hearth_build.data.entities import DATA_FORMAT, Span, read
from hearth_build.pipeline.evaluation import Evaluation, measure_by
from hearth_build.recipe import Example
from hearth_functions.token_classification import app


def outputs(model: Any, examples: Sequence[Example]) -> list[list[Span]]:
    """The entities of each text as spans."""
    results = []
    size = min(32, model.manifest.limits.batch)
    for start in range(0, len(examples), size):
        texts = [example.inputs for example in examples[start : start + size]]
        for entities in app.predict(model, app.Request(texts)).output:
            results.append([[entity.start, entity.end, entity.entity_group] for entity in entities])
    return results


def score(model: Any, examples: Sequence[Example], predicted: Sequence[Sequence[Span]]) -> dict[str, float]:

    known = {get_tag(label)[1] for label in model.manifest.labels} - {"O"}
    expected = {span[2] for example in examples for span in example.expected}
    if expected and not expected & known:
        in_file, in_model = ", ".join(sorted(expected)), ", ".join(sorted(known))
        raise DataError(f"The file has entities {in_file}, but {model.manifest.model} finds only {in_model}.")
    return entity_metrics([example.expected for example in examples], predicted)


def entity_metrics(expected: Sequence[Sequence[Span]], predicted: Sequence[Sequence[Span]]) -> dict[str, float]:
    """Metrics of whole entities: start, end and type must be right."""
    pairs = [(set(map(tuple, truth)), set(map(tuple, spans))) for truth, spans in zip(expected, predicted, strict=True)]
    hits = sum(len(truth & spans) for truth, spans in pairs)
    total, returned = sum(len(truth) for truth, _ in pairs), sum(len(spans) for _, spans in pairs)
    precision, recall = hits / max(returned, 1), hits / max(total, 1)
    return {"F1": 2 * hits / max(total + returned, 1), "precision": precision, "recall": recall}


def predict(model: Any, inputs: str) -> list[dict[str, Any]]:
    """Every token with its label, before tokens are aggregated to entities."""
    parameters = app.Parameters(aggregation_strategy="none", ignore_labels=())
    tokens = app.predict(model, app.Request(inputs, parameters)).output
    return [{"word": token.word, "entity": token.entity, "score": token.score} for token in tokens]


def difference(first: list[dict[str, Any]], second: list[dict[str, Any]]) -> float:
    """The largest difference of the scores of a token; for different labels, the least that the score of one of them
    must differ by."""
    return max((token_difference(*pair) for pair in zip(first, second, strict=True)), default=0.0)


def token_difference(first: dict[str, Any], second: dict[str, Any]) -> float:
    score, other_score = first["score"], second["score"]
    if first["entity"] == second["entity"]:
        return float(abs(score - other_score))
    # A model scores the other one's label at most as high as its own label, and at most 1 less that score.
    return float(max(score - min(other_score, 1 - other_score), other_score - min(score, 1 - score)))


def summarize(tokens: list[dict[str, Any]]) -> str:
    """The entities with their types, for example `Anna PER, Oslo LOC`."""
    entities: list[tuple[str, str]] = []
    previous_label = "O"
    for token in tokens:
        begins, entity_type = get_tag(token["entity"])
        if entity_type == get_tag(previous_label)[1] and not begins and entity_type != "O":
            entities[-1] = (entities[-1][0] + token["word"].removeprefix("##"), entity_type)
        elif entity_type != "O":
            entities.append((token["word"], entity_type))
        previous_label = token["entity"]
    return ", ".join(f"{word} {entity_type}" for word, entity_type in entities)


EVALUATION = Evaluation(
    metric="F1",
    higher_is_better=True,
    data_format=DATA_FORMAT,
    read=read,
    measure=measure_by(outputs, score),
    predict=predict,
    difference=difference,
    summarize=summarize,
    outputs=outputs,
    score=score,
)
