"""token-classification: precision, recall and F1 of whole entities, computed by seqeval."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hearth.ops.text.entities import get_tag
from hearth_build.data.datasets import DataError
from hearth_build.pipeline.evaluation import Evaluation
from hearth_build.recipe import Example
from hearth_functions.token_classification import app

DATA_FORMAT = (
    "a CoNLL file: on each line a token (a word or a character) and its label B-X, I-X or O, and an empty line between "
    "sentences"
)
BEGIN_PREFIXES, INSIDE_PREFIXES = ("B-", "S-"), ("I-", "M-", "E-")
"""Label prefixes of the BIO, BMES and BIOES schemes."""
DOCUMENT_START = "-DOCSTART-"
"""Marks the beginning of a document in CoNLL 2003."""
Span = list[Any]
"""[start, end, entity type], with positions in characters of the text."""


def read(path: Path) -> list[Example]:
    rows: list[list[str]] = []
    try:
        for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1):
            fields = line.split("\t") if "\t" in line else line.split()
            prefixes = ("O", *BEGIN_PREFIXES, *INSIDE_PREFIXES)
            if line.strip() and (len(fields) < 2 or not fields[-1].strip().startswith(prefixes)):
                raise DataError(f"{path}, line {number} is {line[:60]!r}; the file must be {DATA_FORMAT}.")
            is_separator = not line.strip() or fields[0] == DOCUMENT_START
            rows.append([] if is_separator else [fields[0], fields[-1].strip()])
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read ({error}); it must be {DATA_FORMAT}.") from None
    # If no token is longer than one character, the tokens are characters. Otherwise they are words with spaces.
    has_words = any(row and len(row[0]) > 1 for row in rows)
    examples, sentence = [], []
    for row in [*rows, []]:
        if row:
            sentence.append(row)
        elif sentence:
            examples.append(make_example(sentence, has_words))
            sentence = []
    return examples


def make_example(rows: Sequence[Sequence[str]], has_words: bool) -> Example:
    """Join tokens to a text, and their labels to entities."""
    text, spans = "", []
    previous_type = ""
    for token, label in rows:
        if has_words and text and not (is_cjk(text[-1]) and is_cjk(token[0])):
            text += " "
        start, entity_type = len(text), label[2:]
        text += token
        if label.startswith(INSIDE_PREFIXES) and previous_type == entity_type:
            spans[-1][1] = len(text)
        elif label != "O":
            spans.append([start, len(text), entity_type])
        previous_type = entity_type
    return Example(text, spans)


def is_cjk(character: str) -> bool:
    """Whether the character belongs to a script that is written without spaces."""
    return "\u2e80" <= character <= "\u9fff" or "\uf900" <= character <= "\uffef"


def measure(model: Any, examples: Sequence[Example]) -> dict[str, float]:
    from seqeval.metrics import f1_score, precision_score, recall_score  # golden answers are replayed without it

    known = {get_tag(label)[1] for label in model.manifest.labels} - {"O"}
    expected = {span[2] for example in examples for span in example.expected}
    if expected and not expected & known:
        in_file, in_model = ", ".join(sorted(expected)), ", ".join(sorted(known))
        raise DataError(f"The file has entities {in_file}, but {model.manifest.model} finds only {in_model}.")
    truth, predicted = [], []
    size = min(32, model.manifest.limits.batch)
    for start in range(0, len(examples), size):
        batch = examples[start : start + size]
        output = app.predict(model, app.Request([example.inputs for example in batch])).output
        for example, entities in zip(batch, output, strict=True):
            spans = [[entity.start, entity.end, entity.entity_group] for entity in entities]
            truth.append(bio_labels(example.inputs, example.expected))
            predicted.append(bio_labels(example.inputs, spans))
    return {
        "F1": float(f1_score(truth, predicted)),
        "precision": float(precision_score(truth, predicted, zero_division=0)),
        "recall": float(recall_score(truth, predicted)),
    }


def bio_labels(text: str, spans: Sequence[Span]) -> list[str]:
    """One label per character."""
    labels = ["O"] * len(text)
    for start, end, entity_type in spans:
        labels[start:end] = [f"B-{entity_type}", *[f"I-{entity_type}"] * (end - start - 1)]
    return labels


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


EVALUATION = Evaluation("F1", True, DATA_FORMAT, read, measure, predict, difference, summarize)
