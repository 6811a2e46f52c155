"""What the evaluation of embeddings reads and measures; the recipe glove-50d is as good as its source."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="the export extra (torch) is not installed")

from scipy.stats import spearmanr

from hearth_build.data.datasets import DataError
from hearth_build.evaluations import embeddings
from hearth_build.pipeline.build import Step, build
from hearth_build.pipeline.evaluation import Evaluation, evaluation_of, examples_from
from hearth_build.recipe import Example, load

PAIRS = [Example(["a plane", "the plane, here"], 5.0), Example(["one", "two"], 0.5)]
DATA = "HEARTH_DATA"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pairs.csv", 'a plane,"the plane, here",5.0\none,two,0.5\n'),
        ("pairs.csv", 'score,sentence1,genre,sentence2\n5,a plane,x,"the plane, here"\n0.5,one,x,two\n'),
        ("quora.csv", 'id,question1,question2,is_duplicate\n1,a plane,"the plane, here",5\n2,one,two,0.5\n'),
        ("pairs.tsv", "a plane\tthe plane, here\t5.0\r\none\ttwo\t0.5\r\n\r\n"),
        ("pairs.txt", "# Word 1\tWord 2\tmean\na plane\tthe plane, here\t5.0\none\ttwo\t0.5\n"),
    ],
)
def test_pairs_are_read_in_every_format(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_bytes(text.encode())
    assert examples_from(path, "sentence-similarity") == PAIRS


def test_analogies_are_read_as_examples(tmp_path: Path) -> None:
    path = tmp_path / "questions.txt"
    path.write_text(": capitals\nAthens Greece Paris France\n\n: family\nking man queen woman\n", encoding="utf-8")
    assert examples_from(path, "feature-extraction") == [
        Example({"positive": ["Greece", "Paris"], "negative": ["Athens"]}, "France"),
        Example({"positive": ["man", "queen"], "negative": ["king"]}, "woman"),
    ]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("pairs.csv", "a\n", "Which columns"),
        ("pairs.tsv", "a\tb\t1\nc\td\t2\ne\tf\tgood\n", "row 3"),
        ("questions.txt", "king man queen\n", "line 1 has 3 words"),
        ("pairs.csv", "", "has no rows"),
    ],
)
def test_an_unreadable_file_error_names_the_format(tmp_path: Path, name: str, text: str, message: str) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=message) as raised:
        examples_from(path, "sentence-similarity")
    assert "sentence1, sentence2 and score" in str(raised.value)


def test_spearman_equals_scipys_with_ties() -> None:
    random = np.random.default_rng(3)
    first = random.integers(0, 12, 300)
    second = first + random.normal(scale=4, size=300).round()
    assert embeddings.spearman(first.tolist(), second.tolist()) == pytest.approx(spearmanr(first, second).statistic)
    assert embeddings.spearman([1, 1], [1, 2]) == 0


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (0.5, 0.25, 0.25),
        ([1.0, 0.0], [2.0, 0.0], 0),
        ([1.0, 0.0], [0.0, 1.0], 1),
        ([("a", 0.9), ("b", 0.5)], [["b", 0.6], ["a", 0.9]], 0.1),
        ([("a", 0.9), ("b", 0.5)], [["a", 0.9], ["c", 0.7]], 0.2),
    ],
)
def test_difference_of_two_outputs(first: Any, second: Any, expected: float) -> None:
    assert embeddings.difference(first, second) == pytest.approx(expected, abs=1e-6)


@pytest.mark.skipif(DATA not in os.environ, reason="HEARTH_DATA is not set: the data sets are not here")
def test_glove_is_as_good_as_gensim_measures_its_source(tmp_path: Path) -> None:
    from gensim.models import KeyedVectors

    from hearth.models.model import Model
    from hearth_build.pipeline.manifest import manifest_of
    from hearth_build.recipes.glove_50d.recipe import ANALOGIES, WORDSIM, vectors

    recipe = load("glove-50d")
    for step in (Step.PREPARE, Step.EXPORT, Step.QUANTIZE):
        build(recipe, tmp_path, "tests", step)
    folder = tmp_path / "artifact"
    (folder / "tokenizer.json").write_bytes((tmp_path / "tokenizer.json").read_bytes())
    model = Model(manifest_of(recipe, folder, "tests", "tests", 0.0), folder, threads=1)
    evaluation: Evaluation = evaluation_of("feature-extraction")
    reference = KeyedVectors(50)
    reference.add_vectors(list(vectors()), np.array(list(vectors().values()), np.float32))
    similarity = evaluation.measure(model, evaluation.read(WORDSIM.file()))
    _, spearman, left_out = reference.evaluate_word_pairs(WORDSIM.file())
    assert similarity["Spearman"] == pytest.approx(spearman.statistic, abs=1e-6)
    assert similarity["covered"] == pytest.approx(1 - left_out / 100)
    analogies = evaluation.measure(model, evaluation.read(ANALOGIES.file()))
    accuracy, _ = reference.evaluate_word_analogies(ANALOGIES.file())
    assert analogies["analogies"] == pytest.approx(accuracy, abs=1e-6)
    assert analogies["analogies"] == pytest.approx(0.646, abs=0.001)
