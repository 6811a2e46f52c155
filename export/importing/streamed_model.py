"""transformers' own model with weights that are read a module at a time: the reference of an import.

Memory is bounded by the largest matrix, so the reference of a model needs no more of it than writing its graph does.
"""

from __future__ import annotations

import ctypes
import platform
import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hearth_build.importing.recorded_inputs import RecordedInputs
from hearth_build.importing.source import Source
from hearth_build.importing.tensor_files import TensorFiles
from hearth_build.onnx_export.decoder_architecture import RotaryTable
from hearth_build.recipe import RecipeError

RENAMED = {"lm_head.weight": "embed_out.weight"}
"""Names of today's transformers -> names in older checkpoints."""
M_MMAP_THRESHOLD = -3
"""Of glibc's malloc.h."""


class StreamedModel:
    def __init__(self, source: Source, config: Any, files: TensorFiles) -> None:
        """Build the model without weights. Raises RecipeError if the checkpoint lacks one of its tensors."""
        from transformers import AutoModelForCausalLM

        self.config = config
        with without_parameters(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                self.model = AutoModelForCausalLM.from_config(config, attn_implementation="eager", dtype=torch.float32)
            except (TypeError, ValueError, AttributeError, ZeroDivisionError) as error:
                raise RecipeError(
                    f"transformers cannot build a model of {source.folder}/config.json: {error}"
                ) from None
        self.model.eval()
        self._files = files
        self._sources = self._stored_names(source)
        self._recorded: RecordedInputs | None = None
        for name, module in self.model.named_modules():
            if any(True for _ in module.parameters(recurse=False)):
                module.register_forward_pre_hook(self._load(name))
                module.register_forward_hook(release)

    def _stored_names(self, source: Source) -> dict[str, str]:
        """Parameter -> name of a tensor; a tied one is stored under the name of the other."""
        names = defaultdict(list)
        for name, parameter in self.model.named_parameters(remove_duplicate=False):
            names[id(parameter)].append(name)
        sources = {}
        for tied in names.values():
            stored = [alias for name in tied for alias in (name, RENAMED.get(name, name)) if self._files.find(alias)]
            if not stored:
                raise RecipeError(
                    f"{source.folder} has no {tied[0]}, which its {self.config.model_type} model needs: "
                    "the checkpoint is incomplete or of another architecture."
                )
            sources |= dict.fromkeys(tied, stored[0])
        for name, parameter in self.model.named_parameters(remove_duplicate=False):
            shape = self._files.shape(sources[name])
            if shape != tuple(parameter.shape):
                raise RecipeError(
                    f"{source.folder}: {sources[name]} has the shape {shape}, but config.json describes "
                    f"{tuple(parameter.shape)}; the files do not belong to the same model."
                )
        return sources

    def _load(self, name: str) -> Any:
        def load(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            for key in list(module._parameters):
                if module._parameters[key] is not None:
                    values = self._files.load(self._sources[f"{name}.{key}"])
                    assert values is not None
                    module._parameters[key] = nn.Parameter(torch.from_numpy(values), requires_grad=False)
            is_matrix = getattr(module, "weight", None) is not None and module.weight.ndim == 2
            if self._recorded is not None and is_matrix and inputs and inputs[0].is_floating_point():
                self._recorded.add(f"{name}.weight", inputs[0], inputs[0].reshape(-1, inputs[0].shape[-1]).numpy())

        return load

    def log_probabilities(self, tokens: Sequence[int], start: int) -> np.ndarray:
        """Log-probabilities (tokens - start, vocabulary) of what follows each token from `start`."""
        with torch.no_grad():
            hidden = self._read([list(tokens)])
            return torch.log_softmax(self._head(hidden[:, start:])[0], -1).numpy()

    def record(self, tokens: Sequence[int], window: int, recorded: RecordedInputs) -> None:
        """Record what the matrices read of a text, in whole windows of so many tokens where it has more than one. The
        output matrix is left out: it has 8 bits."""
        window = min(window, len(tokens))
        texts = [list(tokens[start : start + window]) for start in range(0, len(tokens) - window + 1, window)]
        recorded.clear()
        self._recorded = recorded
        with torch.no_grad():
            self._read(texts)
        self._recorded = None
        recorded.save()

    def _read(self, texts: list[list[int]]) -> Tensor:
        """The last hidden state (texts, tokens, width) of texts of the same length."""
        return self.model.base_model(torch.tensor(texts), use_cache=False).last_hidden_state  # type: ignore[no-any-return]

    def _head(self, hidden: Tensor) -> Tensor:
        """Logits, by the output layer and what the model's class does after it."""
        cap = getattr(self.config, "final_logit_softcapping", None)
        logits: Tensor = self.model.get_output_embeddings()(hidden)
        logits = logits / (getattr(self.config, "logits_scaling", None) or 1.0)
        logits = logits * (getattr(self.config, "logit_scale", None) or 1.0)
        return torch.tanh(logits / cap) * cap if cap else logits

    def rotary(self) -> dict[str, RotaryTable]:
        """The tables of rotary positions by the type of layer, or one under ""; none for other positions."""
        module = next((m for name, m in self.model.named_modules() if name.endswith("rotary_emb")), None)
        if module is None:
            return {}
        context = self.context
        if (table := getattr(module, "embed_positions", None)) is not None:  # GPT-J: (context, sine and cosine)
            sine, cosine = table[:context].float().chunk(2, -1)
            return {"": RotaryTable(cosine.numpy(), sine.numpy())}
        positions, values = torch.arange(context)[None], torch.zeros(1, 1, 1)
        parameters = getattr(self.config, "rope_parameters", None) or {}
        types = sorted({kind for kind in getattr(self.config, "layer_types", None) or () if kind in parameters})
        tables = {}
        with torch.no_grad():
            for kind in types or [""]:
                cosine, sine = module(values, positions, kind) if kind else module(values, positions)
                # Each angle is there twice: in both halves, or side by side.
                first, second = cosine.chunk(2, -1)
                once = slice(None, first.shape[-1]) if torch.equal(first, second) else slice(None, None, 2)
                tables[kind] = RotaryTable(cosine[0, :, once].numpy().copy(), sine[0, :, once].numpy().copy())
        return tables

    @property
    def context(self) -> int:
        """Number of positions of the tables. Beyond a scaling's original context, factors would depend on the length
        of the text, so those of short texts are used and the context ends there."""
        config = self.config
        context = int(config.max_position_embeddings)
        parameters = getattr(config, "rope_parameters", None) or {}
        if parameters.get("rope_type") == "longrope":
            original = parameters.get("original_max_position_embeddings") or config.original_max_position_embeddings
            return min(context, int(original))
        return context


def return_freed_matrices() -> bool:
    """Let glibc give memory of a megabyte and more back when it is freed; returns whether it does.

    By itself it raises this limit to 32 MB as matrices come and go, and keeps what is smaller.
    """
    return platform.libc_ver()[0] == "glibc" and ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, 1 << 20) == 1


def release(module: nn.Module, inputs: Any, output: Any) -> None:
    """Free the weights of a module that has run."""
    for key, parameter in module._parameters.items():
        if parameter is not None:
            module._parameters[key] = nn.Parameter(parameter.to("meta"), requires_grad=False)


@contextmanager
def without_parameters() -> Iterator[None]:
    """Modules that are created in the block have parameters without memory; their buffers are real."""
    register = nn.Module.register_parameter

    def register_on_meta(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        register(module, name, parameter)
        if parameter is not None and not parameter.is_meta:  # a tied parameter stays the same object
            module._parameters[name] = nn.Parameter(parameter.to("meta"), requires_grad=False)

    nn.Module.register_parameter = register_on_meta  # type: ignore[method-assign]
    try:
        yield
    finally:
        nn.Module.register_parameter = register  # type: ignore[method-assign]
