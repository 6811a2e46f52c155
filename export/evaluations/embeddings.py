"""feature-extraction and sentence-similarity: Spearman's correlation with human scores, and accuracy on analogies.

Metrics are computed as in gensim: pairs and analogies with a word that a model of word vectors does not know are left
out, and `covered` is the fraction that remains.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hearth.ops.text.pooling import cosine
from hearth_build.data.datasets import DataError
from hearth_build.pipeline.evaluation import Evaluation
from hearth_build.recipe import Example
from hearth_functions.embeddings import app

DATA_FORMAT = (
    "a .tsv or .csv file of two sentences (or two words) and their similarity, in three columns without a header "
    "or in columns named sentence1, sentence2 and score; or a .txt file of analogies, four words per line as in "
    "Google's questions-words.txt"
)
BATCH = 64
COLUMNS = ("sentence1", "sentence2", "score")
Vector = list[float]
Output = Vector | float | list[tuple[str, float]]


def read(path: Path) -> list[Example]:
    """Read pairs, with their score as `expected`, or the first three words of analogies, with the fourth."""
    if not path.is_file():
        raise DataError(f"{path} must be {DATA_FORMAT}.")
    with path.open(encoding="utf-8-sig", newline="") as lines:
        if path.suffix == ".txt" and not (first := lines.readline()).startswith("#") and "\t" not in first:
            lines.seek(0)
            return parse_analogies(path, lines.read().splitlines())
        lines.seek(0)
        data_lines = (line for line in lines if not line.startswith("# "))
        if path.suffix == ".csv":
            rows = list(csv.reader(data_lines))
        else:
            rows = [line.rstrip("\r\n").split("\t") for line in data_lines if line.strip()]
    return parse_pairs(path, rows)


def parse_pairs(path: Path, rows: Sequence[Sequence[str]]) -> list[Example]:
    columns = [0, 1, 2]
    if rows and set(COLUMNS) <= set(rows[0]):
        columns = [rows[0].index(name) for name in COLUMNS]
        rows = rows[1:]
    examples = []
    for number, row in enumerate(rows, 1):
        try:
            first, second, score = (row[column] for column in columns)
            examples.append(Example([first, second], float(score)))
        except (IndexError, ValueError):
            raise DataError(f"{path}, row {number}: {list(row)[:4]}. It must be {DATA_FORMAT}.") from None
    return examples


def parse_analogies(path: Path, lines: Sequence[str]) -> list[Example]:
    examples = []
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words or words[0] == ":":  # the name of a section
            continue
        if len(words) != 4:
            raise DataError(f"{path}, line {number} has {len(words)} words. It must be {DATA_FORMAT}.")
        examples.append(Example({"positive": [words[1], words[2]], "negative": [words[0]]}, words[3]))
    return examples


def measure(model: Any, examples: Sequence[Example]) -> dict[str, float]:
    """`Spearman` for pairs and the accuracy `analogies` for analogies, with the `covered` fraction for word vectors."""
    pairs = [example for example in examples if isinstance(example.inputs, list)]
    analogies = [example for example in examples if isinstance(example.inputs, dict)]
    metrics = {}
    has_words = model.manifest.head.words
    if pairs:
        known = [example for example in pairs if not has_words or knows_words(model, example.inputs)]
        predicted = similarities(model, [example.inputs for example in known])
        metrics["Spearman"] = spearman(predicted, [example.expected for example in known])
        if has_words:
            metrics["covered"] = len(known) / len(pairs)
    if analogies:
        if not has_words:
            raise DataError(f"{model.manifest.model} embeds texts. Analogies can only be measured on word vectors.")
        known = [example for example in analogies if knows_words(model, [*all_words(example.inputs), example.expected])]
        correct = [nearest_word(model, example.inputs) == example.expected.lower() for example in known]
        metrics["analogies"] = float(np.mean(correct)) if correct else 0.0
        metrics["analogies covered"] = len(known) / len(analogies)
    return metrics


def spearman(first: Sequence[float], second: Sequence[float]) -> float:
    """The correlation of the ranks. Equal values share the mean of their ranks. 0 if all values are equal."""
    x, y = ranks(first), ranks(second)
    spread = np.std(x) * np.std(y)
    return float(np.mean((x - x.mean()) * (y - y.mean())) / spread) if spread else 0.0


def ranks(values: Sequence[float]) -> np.ndarray:
    _, inverse, counts = np.unique(np.asarray(values, np.float64), return_inverse=True, return_counts=True)
    last: np.ndarray = counts.cumsum()
    return (last - (counts - 1) / 2)[inverse]


def knows_words(model: Any, words: Sequence[str]) -> bool:
    return all(app.find_word(model, word) is not None for word in words)


def all_words(inputs: dict[str, list[str]]) -> list[str]:
    return [word for words in inputs.values() for word in words]


def nearest_word(model: Any, inputs: dict[str, list[str]]) -> str:
    neighbours = app.predict(model, app.Request(inputs=app.Words(**inputs), top_k=1)).output
    assert isinstance(neighbours[0], app.Neighbour)
    return neighbours[0].word.lower()


def similarities(model: Any, pairs: Sequence[Sequence[str]]) -> list[float]:
    """The cosine similarity of each pair. Texts of similar length are embedded together."""
    texts = sorted({text for pair in pairs for text in pair}, key=len)
    size = min(BATCH, model.manifest.limits.batch)
    vectors: dict[str, np.ndarray] = {}
    for start in range(0, len(texts), size):
        batch = texts[start : start + size]
        output = app.predict(model, app.Request(inputs=batch, normalize=True)).output
        vectors |= {text: np.array(vector) for text, vector in zip(batch, output, strict=True)}
    return [float(vectors[first] @ vectors[second]) for first, second in pairs]


def predict(model: Any, inputs: Any) -> Output:
    """The vector of a text, the cosine similarity of two texts, or the neighbours of words."""
    if isinstance(inputs, list):
        return similarities(model, [inputs])[0]
    if isinstance(inputs, dict):
        neighbours = app.predict(model, app.Request(inputs=app.Words(**inputs))).output
        return [(neighbour.word, neighbour.score) for neighbour in neighbours if isinstance(neighbour, app.Neighbour)]
    vectors = app.predict(model, app.Request(inputs=inputs)).output
    assert isinstance(vectors[0], list)
    return vectors[0]


def difference(first: Output, second: Output) -> float:
    """The difference of two cosines, the cosine distance of two vectors, or the largest difference of the scores of
    neighbours."""
    if isinstance(first, float | int) and isinstance(second, float | int):
        return abs(first - second)
    assert isinstance(first, list)
    assert isinstance(second, list)
    if first and isinstance(first[0], float | int):
        return 1 - float(cosine(np.array(first, np.float32), np.array([second], np.float32))[0])
    scores = dict(second)  # type: ignore[arg-type]
    lowest = min(scores.values())
    return float(max(abs(score - scores.get(word, lowest)) for word, score in first))  # type: ignore[misc]


def summarize(output: Output) -> str:
    if isinstance(output, list):
        return str(output[0][0]) if output and not isinstance(output[0], float) else f"{len(output)} numbers"
    return f"{output:.2f}"


EVALUATION = Evaluation("Spearman", True, DATA_FORMAT, read, measure, predict, difference, summarize)
