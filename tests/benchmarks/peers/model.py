"""The classifier of every peer's server: the same file, tokenizer and options; a session of one thread, by its path."""

from __future__ import annotations

import os

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

MODEL = os.environ["BENCH_MODEL"]
"""Folder with model.onnx and tokenizer.json."""


class Classifier:
    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(f"{MODEL}/model.onnx", options, providers=["CPUExecutionProvider"])
        self.tokenizer = Tokenizer.from_file(f"{MODEL}/tokenizer.json")

    def encode(self, text: str) -> dict[str, np.ndarray]:
        """Ids and mask, (1, tokens)."""
        row = self.tokenizer.encode(text)
        return {"input_ids": np.array([row.ids]), "attention_mask": np.array([row.attention_mask])}

    def __call__(self, text: str) -> list[dict[str, object]]:
        (logits,) = self.session.run(["logits"], self.encode(text))
        exponents = np.exp(logits[0] - logits[0].max())
        return [
            {"label": label, "score": float(score)}
            for label, score in zip(("negative", "positive"), exponents / exponents.sum(), strict=True)
        ]
