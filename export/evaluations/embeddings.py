"""feature-extraction and sentence-similarity: Spearman's correlation with human scores; analogies that come out right.

Numbers are as gensim counts them: pairs and analogies with a word that a model of words lacks are left out, and
`covered` says how many were not.
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

FORM = (
    "a .tsv or .csv file of two sentences (or two words) and how alike they are, in three columns without a header "
    "or in those named sentence1, sentence2 and score; or a .txt file of analogies, four words a line as in "
    "Google's questions-words.txt"
)
BATCH = 64
NAMES = ("sentence1", "sentence2", "score")
Vector = list[float]
Answer = Vector | float | list[tuple[str, float]]


def read(path: Path) -> list[Example]:
    """Pairs with their score as `expected`, or an analogy's first three words with the fourth."""
    if not path.is_file():
        raise DataError(f"{path} must be {FORM}.")
    with path.open(encoding="utf-8-sig", newline="") as lines:
        if path.suffix == ".txt" and not (first := lines.readline()).startswith("#") and "\t" not in first:
            lines.seek(0)
            return analogies(path, lines.read().splitlines())
        lines.seek(0)
        kept = (line for line in lines if not line.startswith("# "))
        if path.suffix == ".csv":
            rows = list(csv.reader(kept))
        else:
            rows = [line.rstrip("\r\n").split("\t") for line in kept if line.strip()]
    return pairs(path, rows)


def pairs(path: Path, rows: Sequence[Sequence[str]]) -> list[Example]:
    columns = [0, 1, 2]
    if rows and set(NAMES) <= set(rows[0]):
        columns = [rows[0].index(name) for name in NAMES]
        rows = rows[1:]
    found = []
    for number, row in enumerate(rows, 1):
        try:
            one, other, score = (row[column] for column in columns)
            found.append(Example([one, other], float(score)))
        except (IndexError, ValueError):
            raise DataError(f"{path}, row {number}: {list(row)[:4]}. It must be {FORM}.") from None
    return found


def analogies(path: Path, lines: Sequence[str]) -> list[Example]:
    found = []
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words or words[0] == ":":  # the name of a section
            continue
        if len(words) != 4:
            raise DataError(f"{path}, line {number} has {len(words)} words. It must be {FORM}.")
        found.append(Example({"positive": [words[1], words[2]], "negative": [words[0]]}, words[3]))
    return found


def measure(model: Any, examples: Sequence[Example]) -> dict[str, float]:
    """`Spearman` of pairs, `accuracy` of analogies; for word vectors `covered` beside them."""
    scored = [example for example in examples if isinstance(example.inputs, list)]
    asked = [example for example in examples if isinstance(example.inputs, dict)]
    metrics = {}
    words = model.manifest.head.words
    if scored:
        known = [example for example in scored if not words or knows(model, example.inputs)]
        found = likeness(model, [example.inputs for example in known])
        wanted = [example.expected for example in known]
        metrics["Spearman"] = spearman(found, wanted)
        if words:
            metrics["covered"] = len(known) / len(scored)
    if asked:
        if not words:
            raise DataError(f"{model.manifest.model} makes vectors of texts; analogies are asked of word vectors.")
        known = [example for example in asked if knows(model, [*flat(example.inputs), example.expected])]
        right = [nearest(model, example.inputs) == example.expected.lower() for example in known]
        metrics["analogies"] = float(np.mean(right)) if right else 0.0
        metrics["analogies covered"] = len(known) / len(asked)
    return metrics


def spearman(one: Sequence[float], other: Sequence[float]) -> float:
    """The correlation of ranks, equal values sharing the mean of theirs; 0 where there is nothing to rank."""
    first, second = ranks(one), ranks(other)
    spread = np.std(first) * np.std(second)
    return float(np.mean((first - first.mean()) * (second - second.mean())) / spread) if spread else 0.0


def ranks(values: Sequence[float]) -> np.ndarray:
    _, places, counts = np.unique(np.asarray(values, np.float64), return_inverse=True, return_counts=True)
    last: np.ndarray = counts.cumsum()
    return (last - (counts - 1) / 2)[places]


def knows(model: Any, words: Sequence[str]) -> bool:
    return all(app.find_word(model, word) is not None for word in words)


def flat(inputs: dict[str, list[str]]) -> list[str]:
    return [word for words in inputs.values() for word in words]


def nearest(model: Any, inputs: dict[str, list[str]]) -> str:
    found = app.predict(model, app.Request(inputs=app.Words(**inputs), top_k=1)).output
    assert isinstance(found[0], app.Neighbour)
    return found[0].word.lower()


def likeness(model: Any, asked: Sequence[Sequence[str]]) -> list[float]:
    """The cosine of each pair; texts of like length are embedded together."""
    texts = sorted({text for pair in asked for text in pair}, key=len)
    size = min(BATCH, model.manifest.limits.batch)
    vectors: dict[str, np.ndarray] = {}
    for start in range(0, len(texts), size):
        some = texts[start : start + size]
        found = app.predict(model, app.Request(inputs=some, normalize=True)).output
        vectors |= {text: np.array(vector) for text, vector in zip(some, found, strict=True)}
    return [float(vectors[one] @ vectors[other]) for one, other in asked]


def answer(model: Any, inputs: Any) -> Answer:
    """A text's vector, two texts' cosine, or words' neighbours."""
    if isinstance(inputs, list):
        return likeness(model, [inputs])[0]
    if isinstance(inputs, dict):
        found = app.predict(model, app.Request(inputs=app.Words(**inputs))).output
        return [(one.word, one.score) for one in found if isinstance(one, app.Neighbour)]
    vectors = app.predict(model, app.Request(inputs=inputs)).output
    assert isinstance(vectors[0], list)
    return vectors[0]


def difference(one: Answer, other: Answer) -> float:
    """Of cosines and of neighbours' scores, the largest; of vectors, one less their cosine."""
    if isinstance(one, float | int) and isinstance(other, float | int):
        return abs(one - other)
    assert isinstance(one, list)
    assert isinstance(other, list)
    if one and isinstance(one[0], float | int):
        return 1 - float(cosine(np.array(one, np.float32), np.array([other], np.float32))[0])
    scores = dict(other)  # type: ignore[arg-type]
    lowest = min(scores.values())
    return float(max(abs(score - scores.get(word, lowest)) for word, score in one))  # type: ignore[misc]


def brief(answer: Answer) -> str:
    if isinstance(answer, list):
        return str(answer[0][0]) if answer and not isinstance(answer[0], float) else f"{len(answer)} numbers"
    return f"{answer:.2f}"


EVALUATION = Evaluation("Spearman", True, FORM, read, measure, answer, difference, brief)
