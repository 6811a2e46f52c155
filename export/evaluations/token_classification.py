"""token-classification: precision, recall and F1 of whole entities, as seqeval counts them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from seqeval.metrics import f1_score, precision_score, recall_score

from hearth.ops.text.entities import get_tag
from hearth_build.data.datasets import DataError
from hearth_build.pipeline.evaluation import Evaluation
from hearth_build.recipe import Example
from hearth_functions.token_classification import app

FORM = "a CoNLL-style file: a token (a word or a character) and its label B-X, I-X or O a line, an empty line between \
sentences"
BEGINS, GOES_ON = ("B-", "S-"), ("I-", "M-", "E-")
"""Of the BIO, BMES and BIOES schemes."""
DOCUMENT = "-DOCSTART-"
"""CoNLL 2003 begins documents with it."""
Span = list[Any]
"""[start, end, kind], characters of the text."""


def read(path: Path) -> list[Example]:
    rows: list[list[str]] = []
    try:
        for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1):
            fields = line.split("\t") if "\t" in line else line.split()
            if line.strip() and (len(fields) < 2 or not fields[-1].strip().startswith(("O", *BEGINS, *GOES_ON))):
                raise DataError(f"{path}, line {number} is {line[:60]!r}; the file must be {FORM}.")
            empty = not line.strip() or fields[0] == DOCUMENT
            rows.append([] if empty else [fields[0], fields[-1].strip()])
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read ({error}); it must be {FORM}.") from None
    # A file of characters is told by its having nothing longer; elsewhere there is a space between words.
    apart = any(row and len(row[0]) > 1 for row in rows)
    examples, sentence = [], []
    for row in [*rows, []]:
        if row:
            sentence.append(row)
        elif sentence:
            examples.append(example(sentence, apart))
            sentence = []
    return examples


def example(rows: Sequence[Sequence[str]], apart: bool) -> Example:
    """A text of tokens with its entities."""
    text, found = "", []
    inside = ""
    for token, label in rows:
        if apart and text and not (wide(text[-1]) and wide(token[0])):
            text += " "
        start, kind = len(text), label[2:]
        text += token
        if label.startswith(GOES_ON) and inside == kind:
            found[-1][1] = len(text)
        elif label != "O":
            found.append([start, len(text), kind])
        inside = kind
    return Example(text, found)


def wide(letter: str) -> bool:
    """Whether it is of a script that has no spaces."""
    return "\u2e80" <= letter <= "\u9fff" or "\uf900" <= letter <= "\uffef"


def measure(model: Any, examples: Sequence[Example]) -> dict[str, float]:
    known = {get_tag(label)[1] for label in model.manifest.labels} - {"O"}
    wanted = {span[2] for example in examples for span in example.expected}
    if wanted and not wanted & known:
        kinds, names = ", ".join(sorted(wanted)), ", ".join(sorted(known))
        raise DataError(f"The file marks {kinds}; {model.manifest.model} knows {names} only.")
    truth, given = [], []
    size = min(32, model.manifest.limits.batch)
    for start in range(0, len(examples), size):
        part = examples[start : start + size]
        found = app.predict(model, app.Request([example.inputs for example in part])).output
        for example, entities in zip(part, found, strict=True):
            truth.append(marked(example.inputs, example.expected))
            given.append(marked(example.inputs, [[e.start, e.end, e.entity_group] for e in entities]))
    return {
        "F1": float(f1_score(truth, given)),
        "precision": float(precision_score(truth, given, zero_division=0)),
        "recall": float(recall_score(truth, given)),
    }


def marked(text: str, spans: Sequence[Span]) -> list[str]:
    """A label a character."""
    labels = ["O"] * len(text)
    for start, end, kind in spans:
        labels[start:end] = [f"B-{kind}", *[f"I-{kind}"] * (end - start - 1)]
    return labels


def answer(model: Any, inputs: str) -> list[dict[str, Any]]:
    """Every token with its label: what entities are made of."""
    parameters = app.Parameters(aggregation_strategy="none", ignore_labels=())
    tokens = app.predict(model, app.Request(inputs, parameters)).output
    return [{"word": one.word, "entity": one.entity, "score": one.score} for one in tokens]


def difference(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> float:
    """The largest of a token's score; where the labels differ, the least by which one's score must."""
    return max((apart(*pair) for pair in zip(one, other, strict=True)), default=0.0)


def apart(one: dict[str, Any], other: dict[str, Any]) -> float:
    first, second = one["score"], other["score"]
    if one["entity"] == other["entity"]:
        return float(abs(first - second))
    return float(max(first - min(second, 1 - second), second - min(first, 1 - first)))


def brief(tokens: list[dict[str, Any]]) -> str:
    """Entities with their kinds, as in `Anna PER, Oslo LOC`."""
    groups: list[tuple[str, str]] = []
    last = "O"
    for token in tokens:
        begins, kind = get_tag(token["entity"])
        if kind == get_tag(last)[1] and not begins and kind != "O":
            groups[-1] = (groups[-1][0] + token["word"].removeprefix("##"), kind)
        elif kind != "O":
            groups.append((token["word"], kind))
        last = token["entity"]
    return ", ".join(f"{word} {kind}" for word, kind in groups)


EVALUATION = Evaluation("F1", True, FORM, read, measure, answer, difference, brief)
