"""feature-extraction and sentence-similarity: Spearman's correlation with human scores, and accuracy on analogies.

Metrics are computed as in gensim: pairs and analogies with a word that a model of word vectors does not know are left
out, and `covered` is the fraction that remains.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hearth.ops.text.pooling import cosine
from hearth_build.data import sentence_pairs
from hearth_build.data.datasets import DataError
from hearth_build.data.table_files import read_text
from hearth_build.data.tables import NO_COLUMNS, Columns
from hearth_build.pipeline.evaluation import Evaluation, measure_by
from hearth_build.recipe import Example
from hearth_functions.embeddings import app

DATA_FORMAT = (
    f"{sentence_pairs.DATA_FORMAT}; or a .txt file of analogies, four words per line as in Google's questions-words.txt"
)
BATCH = 64
DEPTH = 10
"""Ranks that count."""
PARTNERS, TRIPLETS = f"MRR@{DEPTH}", "triplet accuracy"
Vector = list[float]
Output = Vector | float | list[tuple[str, float]]


def read(path: Path, columns: Columns = NO_COLUMNS) -> list[Example]:
    """Read pairs, with their score as `expected`, or the first three words of analogies, with the fourth."""
    if path.suffix == ".txt":
        lines = read_text(path).splitlines()
        if lines and not lines[0].startswith("#") and "\t" not in lines[0]:
            return parse_analogies(path, lines)
    return sentence_pairs.read(path, columns)


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


def outputs(model: Any, examples: Sequence[Example]) -> list[Any]:
    """By the form of the example: the similarity of a pair with a score; the rank of the second text of a pair without
    one among the second texts of all of these; how much more similar the second text of a triplet is than the third;
    the fourth word of an analogy. None for words that the model does not know."""
    has_words = model.manifest.head.words
    if not has_words and any(isinstance(example.inputs, dict) for example in examples):
        raise DataError(f"{model.manifest.model} embeds texts. Analogies can only be measured on word vectors.")
    results: list[Any] = [None] * len(examples)
    compared = [index for index, example in enumerate(examples) if isinstance(example.inputs, list)]
    known = [index for index in compared if not has_words or knows_words(model, examples[index].inputs)]
    vectors = vectors_of(model, {text for index in known for text in examples[index].inputs})
    for index in known:
        results[index] = compare(examples[index], vectors)
    partners = [index for index in known if is_pair_without_score(examples[index])]
    for index, rank in zip(partners, partner_ranks([examples[i].inputs for i in partners], vectors), strict=True):
        results[index] = rank
    for index, example in enumerate(examples):
        if isinstance(example.inputs, dict) and knows_words(model, [*all_words(example.inputs), example.expected]):
            results[index] = nearest_word(model, example.inputs)
    return results


def is_pair_without_score(example: Example) -> bool:
    return isinstance(example.inputs, list) and len(example.inputs) == 2 and example.expected is None


def compare(example: Example, vectors: Mapping[str, np.ndarray]) -> float:
    """The cosine similarity of the first two texts, for a triplet less that of the first and the third."""
    first, second, *others = (vectors[text] for text in example.inputs)
    return float(first @ second - (first @ others[0] if others else 0.0))


def partner_ranks(pairs: Sequence[Sequence[str]], vectors: Mapping[str, np.ndarray]) -> list[int]:
    """The rank of the second text of each pair among all second texts, apart from those that belong to the same first
    text; 1 is the most similar."""
    if not pairs:
        return []
    seconds = list(dict.fromkeys(second for _, second in pairs))
    numbers = {text: number for number, text in enumerate(seconds)}
    partners: dict[str, set[int]] = {}
    for first, second in pairs:
        partners.setdefault(first, set()).add(numbers[second])
    matrix = np.stack([vectors[text] for text in seconds])  # (texts, dimensions)
    ranks = []
    for first, second in pairs:
        similarities = matrix @ vectors[first]
        own = similarities[numbers[second]]
        similarities[list(partners[first])] = -2.0
        ranks.append(1 + int((similarities >= own).sum()))
    return ranks


def score(model: Any, examples: Sequence[Example], results: Sequence[Any]) -> dict[str, float]:
    """`Spearman` for pairs with scores, `MRR@10` and `accuracy@1` for pairs without, `triplet accuracy`, and the
    accuracy `analogies`; with the `covered` fraction for word vectors."""
    metrics = {}
    rows = list(zip(examples, results, strict=True))
    scored = [row for row in rows if isinstance(row[0].inputs, list) and row[0].expected is not None]
    analogies = [row for row in rows if isinstance(row[0].inputs, dict)]
    if scored:
        known = [(example.expected, result) for example, result in scored if result is not None]
        metrics["Spearman"] = spearman([result for _, result in known], [expected for expected, _ in known])
        if model.manifest.head.words:
            metrics["covered"] = len(known) / len(scored)
    partner_places = [result for example, result in rows if is_pair_without_score(example) and result is not None]
    if partner_places:
        reciprocal = [1 / rank if rank <= DEPTH else 0.0 for rank in partner_places]
        metrics |= {
            PARTNERS: float(np.mean(reciprocal)),
            "accuracy@1": float(np.mean([rank == 1 for rank in partner_places])),
        }
    differences = [result for example, result in rows if isinstance(example.inputs, list) and len(example.inputs) == 3]
    if differences:
        metrics[TRIPLETS] = float(np.mean([difference > 0 for difference in differences if difference is not None]))
    if analogies:
        correct = [result == example.expected.lower() for example, result in analogies if result is not None]
        metrics["analogies"] = float(np.mean(correct)) if correct else 0.0
        metrics["analogies covered"] = len(correct) / len(analogies)
    return metrics


def metric_of(examples: Sequence[Example]) -> str:
    """The metric by which models are compared on examples of one form."""
    if examples[0].expected is not None:
        return "Spearman"
    return TRIPLETS if len(examples[0].inputs) == 3 else PARTNERS


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


def vectors_of(model: Any, texts: Iterable[str]) -> dict[str, np.ndarray]:
    """The unit vector of each text. Texts of similar length are embedded together."""
    ordered = sorted(texts, key=lambda text: (len(text), text))
    size = min(BATCH, model.manifest.limits.batch)
    vectors: dict[str, np.ndarray] = {}
    for start in range(0, len(ordered), size):
        batch = ordered[start : start + size]
        output = app.predict(model, app.Request(inputs=batch, normalize=True)).output
        vectors |= {text: np.array(vector) for text, vector in zip(batch, output, strict=True)}
    return vectors


def predict(model: Any, inputs: Any) -> Output:
    """The vector of a text, the cosine similarity of two texts, or the neighbours of words."""
    if isinstance(inputs, list):
        return compare(Example(inputs, 0.0), vectors_of(model, set(inputs)))
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


EVALUATION = Evaluation(
    metric="Spearman",
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
