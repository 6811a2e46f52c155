"""A network in training in place of a served model: the task's own `predict` computes its answers, so that validation
measures what will be served."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import nn

from hearth.models.heads import Head
from hearth.models.manifest import Limits
from hearth.models.preprocessing import TextPreprocessing


class ServedNetwork:
    """The part of hearth.models.model.Model that the functions of text tasks use."""

    def __init__(
        self,
        network: nn.Module,
        inputs: Sequence[str],
        tokenizer: Tokenizer,
        preprocessing: TextPreprocessing,
        head: Head,
    ) -> None:
        self.network = network.eval()
        self.input_names = {"main": tuple(inputs)}
        self.tokenizer = Tokenizer.from_str(tokenizer.to_str())
        self.tokenizer.enable_truncation(preprocessing.max_tokens)
        self.preprocessing, self.head = preprocessing, head
        limits = Limits(batch=64, characters=1_000_000)
        self.manifest = SimpleNamespace(limits=limits, preprocessing=preprocessing, head=head)
        self.unknown_token = self.known_tokens = self.centre = None  # nothing is known of what is usual yet

    def run(self, feeds: dict[str, np.ndarray[Any, Any]], graph: str = "main") -> list[np.ndarray[Any, Any]]:
        with torch.no_grad():
            outputs = self.network(**{name: torch.from_numpy(value) for name, value in feeds.items()})
        return [output.numpy() for output in (outputs if isinstance(outputs, tuple) else (outputs,))]
