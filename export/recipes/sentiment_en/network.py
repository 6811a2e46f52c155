"""A teacher (MiniLM, six layers) and its student: three layers, factorised word embeddings."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from hearth_build.networks.bert import Classifier, read_shape, read_weights
from hearth_build.pipeline.train import weights_of
from hearth_build.training.bases import minilm

MAX_TOKENS = 128
EMBEDDING = 96
LAYERS = (0, 2, 5)
"""Indices of the teacher's layers that initialise the student's."""


def teacher(work: Path) -> nn.Module:
    folder = minilm()
    network = Classifier(read_shape(folder, labels=2))
    network.load_state_dict(read_weights(folder), strict=False)
    return network


def student(work: Path) -> nn.Module:
    trained = Classifier(read_shape(minilm(), labels=2))
    trained.load_state_dict(weights_of(work, "teacher"))
    shape = replace(trained.shape, layers=len(LAYERS), embedding=EMBEDDING, positions=MAX_TOKENS)
    network = Classifier(shape)
    network.load_state_dict(shrink(trained.state_dict()))
    return network


def shrink(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Turn the teacher's weights into the student's: some layers, the first positions, embeddings factorised by SVD."""
    small = {}
    for name, value in weights.items():
        if name.startswith("bert.encoder.layer."):
            index, suffix = name.removeprefix("bert.encoder.layer.").split(".", 1)
            if int(index) in LAYERS:
                small[f"bert.encoder.layer.{LAYERS.index(int(index))}.{suffix}"] = value
        else:
            small[name] = value
    name = "bert.embeddings.word_embeddings.weight"
    left, values, right = torch.linalg.svd(small[name], full_matrices=False)
    root = values[:EMBEDDING].sqrt()
    small[name] = (left[:, :EMBEDDING] * root).contiguous()
    small["bert.embeddings.projection.weight"] = (right[:EMBEDDING] * root[:, None]).T.contiguous()
    small["bert.embeddings.position_embeddings.weight"] = weights["bert.embeddings.position_embeddings.weight"][
        :MAX_TOKENS
    ].clone()
    return small
