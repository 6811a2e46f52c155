"""`hearth_build.networks.gpt.Decoder` in place of a loaded artifact, for comparisons.

It has no cache: every step computes all tokens again.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from hearth.models.model import Model
from hearth_build.onnx_export.reference import ReferenceModel


class DecoderReference(ReferenceModel):
    def __init__(self, network: nn.Module, served: Model) -> None:
        super().__init__(served)
        self.network = network

    def session(self, graph: str = "main") -> Session:
        return Session(self.network)

    def run_bound(self, binding: Binding, graph: str = "main") -> None:
        self.session(graph).run_with_iobinding(binding)


class Session:
    """The part of onnxruntime.InferenceSession that `hearth.tasks.generation` uses."""

    def __init__(self, network: nn.Module) -> None:
        self.network = network

    def io_binding(self) -> Binding:
        return Binding()

    def run_with_iobinding(self, binding: Binding) -> None:
        new_tokens, total = binding.values["input_ids"].numpy()[0], int(binding.values["total"].numpy()[0])
        start = total - len(new_tokens)
        binding.tokens[start:] = new_tokens.tolist()
        with torch.no_grad():
            logits = self.network(torch.tensor([binding.tokens]))[0, start:]
        rows = torch.from_numpy(binding.values["rows"].numpy())
        binding.values["logits"].update_inplace(np.ascontiguousarray(logits[rows].numpy()))


class Binding:
    """The part of onnxruntime.IOBinding that `hearth.tasks.generation` uses, with all tokens so far."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.tokens: list[int] = []

    def bind_ortvalue_input(self, name: str, value: Any) -> None:
        self.values[name] = value

    bind_ortvalue_output = bind_ortvalue_input
