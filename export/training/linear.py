"""Linear models: of hashed n-grams of words or characters, and of the vectors of a network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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


def fit(
    features: Any, targets: np.ndarray, validation: Any, score: Score, labels: int, *, several: bool, seed: int
) -> tuple[np.ndarray, np.ndarray, float]:
    """Weights (labels, features) and biases of the logistic regression with the best validation score.

    `targets` are numbers of labels, or, with `several`, a matrix of zeros and ones (examples, labels).
    """
    best: tuple[np.ndarray, np.ndarray, float] | None = None
    for strength in STRENGTHS:
        model: Any = LogisticRegression(C=strength, max_iter=300, random_state=seed)
        if several:
            model = OneVsRestClassifier(model)
        model.fit(features, targets)
        weights, bias = coefficients(model, features.shape[1], labels, several)
        value = score(np.asarray(validation @ weights.T) + bias)
        if best is None or value > best[2]:
            best = weights, bias, value
        elif value < best[2] - 0.02:  # it only gets worse
            break
    assert best is not None
    return best


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
