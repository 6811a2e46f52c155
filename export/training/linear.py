"""Linear models: of hashed n-grams of words or characters, and of the vectors of a network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.trainers import BpeTrainer

from hearth_build.networks.text_classifiers import HashedNgrams

STRENGTHS = (0.3, 1.0, 3.0, 10.0, 30.0)
"""Inverse strengths of regularisation that are tried on the validation examples."""
VOCABULARY = 20_000
LENGTH = 3
"""Tokens of the longest n-gram."""
WEIGHTS = 2**21
"""Largest number of weights: buckets times labels."""
MAX_TOKENS = 1024
SMALLEST_CURVE = 200
"""Training examples from which on a learning curve says something."""
Score = Callable[[np.ndarray], float]
"""The metric of validation logits (examples, labels)."""


def train_tokenizer(texts: Sequence[str]) -> Tokenizer:
    """Subwords of the texts; Chinese characters stand alone."""
    tokenizer = Tokenizer(BPE(unk_token="[UNK]"))
    tokenizer.normalizer = BertNormalizer(lowercase=True, strip_accents=False, handle_chinese_chars=True)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    trainer = BpeTrainer(vocab_size=VOCABULARY, special_tokens=["[PAD]", "[UNK]"], show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def ngram_features(network: HashedNgrams, rows: Sequence[Sequence[int]]) -> sparse.csr_matrix:
    """Counts of buckets divided by the root of their sum, (texts, buckets)."""
    indices: list[np.ndarray] = []
    values: list[np.ndarray] = []
    starts = [0]
    for row in rows:
        ids = torch.tensor([list(row)])
        buckets, mask = network.features(ids, torch.ones_like(ids))
        present, counts = np.unique(buckets[mask.bool()].numpy(), return_counts=True)
        indices.append(present)
        values.append(counts / max(counts.sum(), 1) ** 0.5)
        starts.append(starts[-1] + len(present))
    joined = (np.concatenate(values), np.concatenate(indices), starts)
    return sparse.csr_matrix(joined, (len(rows), network.buckets), dtype=np.float32)


@dataclass(frozen=True)
class Problem:
    """What a linear model learns from, and by what it is chosen."""

    features: Any
    """(examples, features), dense or sparse."""
    targets: np.ndarray
    """Numbers of labels, or, with `several`, a matrix of zeros and ones (examples, labels)."""
    validation: Any
    """Features of the validation examples."""
    score: Score
    labels: int
    several: bool
    seed: int
    weights: np.ndarray | None = None
    """How much each label weighs, (labels,); None: all the same."""


@dataclass(frozen=True)
class Fitted:
    weights: np.ndarray
    """(labels, features)."""
    bias: np.ndarray
    """(labels,)."""
    score: float
    """Of the validation examples."""
    strength: float
    """Inverse strength of regularisation."""

    def logits(self, features: Any) -> np.ndarray:
        """(examples, labels)."""
        return np.asarray(features @ self.weights.T) + self.bias


def fit(problem: Problem, strengths: Sequence[float] = STRENGTHS) -> Fitted:
    """The logistic regression with the best validation score."""
    best: Fitted | None = None
    for strength in strengths:
        model: Any = LogisticRegression(C=strength, max_iter=300, random_state=problem.seed)
        if problem.several:
            model = OneVsRestClassifier(model)
        weighted = {} if problem.weights is None else {"sample_weight": problem.weights[problem.targets]}
        model.fit(problem.features, problem.targets, **weighted)
        weights, bias = coefficients(model, problem.features.shape[1], problem.labels, problem.several)
        fitted = Fitted(weights, bias, 0.0, strength)
        fitted = replace(fitted, score=problem.score(fitted.logits(problem.validation)))
        if best is None or fitted.score > best.score:
            best = fitted
        elif fitted.score < best.score - 0.02:  # it only gets worse
            break
    assert best is not None
    return best


def learning_curve(problem: Problem, fitted: Fitted) -> str:
    """How the validation score grows with the training examples, as a sentence; empty if there are too few of them.

    The error is extrapolated as a power of their number (Hestness et al. 2017).
    """
    order = np.random.default_rng(problem.seed).permutation(len(problem.targets))
    if len(order) < SMALLEST_CURVE:
        return ""
    counts, scores = [], []
    for share in (4, 2):
        part = order[: len(order) // share]
        if not problem.several and len(np.unique(problem.targets[part])) < 2:
            return ""
        smaller = replace(problem, features=problem.features[part], targets=problem.targets[part])
        counts.append(len(part))
        scores.append(fit(smaller, (fitted.strength,)).score)
    counts.append(len(order))
    scores.append(fitted.score)
    listed = ", ".join(f"{value:.3f} with {count:,}" for count, value in zip(counts, scores, strict=True))
    errors = np.log(np.maximum(1 - np.array(scores), 1e-4))
    slope = min(float(np.polyfit(np.log(counts), errors, 1)[0]), 0.0)
    expected = 1 - (1 - scores[-1]) * 2**slope
    return f"By the number of training examples: {listed}; twice as many would give about {expected:.3f}."


def coefficients(model: Any, width: int, labels: int, several: bool) -> tuple[np.ndarray, np.ndarray]:
    """Weights and biases of all labels; a label without training examples has a large negative bias."""
    weights, bias = np.zeros((labels, width), np.float32), np.full(labels, -20.0, np.float32)
    if several:
        for number, estimator in enumerate(model.estimators_):
            if hasattr(estimator, "coef_"):
                weights[number], bias[number] = estimator.coef_[0], estimator.intercept_[0]
            else:
                bias[number] = 20.0 if estimator.predict([[0]])[0] else -20.0
    elif len(model.classes_) == 2:  # one vector for the difference of two labels
        first, second = model.classes_
        weights[second], weights[first] = model.coef_[0] / 2, -model.coef_[0] / 2
        bias[second], bias[first] = model.intercept_[0] / 2, -model.intercept_[0] / 2
    else:
        weights[model.classes_], bias[model.classes_] = model.coef_, model.intercept_
    return weights, bias


def buckets_for(labels: int) -> int:
    """The number of buckets, a power of two."""
    return int(2 ** min(18, max(12, np.log2(WEIGHTS / labels) // 1)))
