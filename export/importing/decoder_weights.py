"""The weights of a decoder-only checkpoint, by the names of the network: how a family names, packs and stores them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hearth_build.importing.tensor_files import TensorFiles
from hearth_build.recipe import RecipeError

BUFFERS = re.compile(r"\.(rotary_emb\.inv_freq|attn\.(masked_)?bias|attention\.(masked_)?bias)$")
"""Tensors that older versions of transformers saved although they can be computed."""


@dataclass(frozen=True)
class Family:
    """Names of weights as the checkpoint has them, without `.weight` and `.bias`."""

    root: str
    """What all names begin with; checkpoints saved without a head lack its first part."""
    layers: str
    """What the names of a layer begin with, after the root and before its number."""
    names: Mapping[str, str | tuple[str, ...]]
    """Part of the network, as in `decoder_graph.Weights`, -> name; several names are concatenated."""
    options: Callable[[Any], dict[str, Any]] = lambda config: {}
    """Configuration -> fields of the architecture that are particular to the family. Raises RecipeError."""
    renamed: Callable[[Any], Mapping[str, str]] = lambda config: {}
    """Names that depend on the configuration."""
    transposed: bool = False
    """Whether matrices are stored as (inputs, outputs)."""
    unpacked: Callable[[Any, np.ndarray], np.ndarray] = lambda config, values: values
    """Brings the rows of the packed matrix into the order of all queries, all keys and all values."""
    norm_offset: float = 0.0
    """Added to the weights of norms."""
    first_position: int = 0
    """Row of the learned positions that belongs to the first token."""


class FamilyWeights:
    """The weights of a checkpoint, by the names of `decoder_graph.Weights`."""

    def __init__(self, family: Family, config: Any, files: TensorFiles) -> None:
        self.family, self.config, self.files = family, config, files
        self.names = {**family.names, **family.renamed(config)}

    def sources(self, name: str) -> list[str]:
        """The checkpoint's names of the weight's parts; none if the family has no such weight."""
        family = self.family
        match = re.fullmatch(r"(?:blocks\.(\d+)\.)?(.+)\.(weight|bias)", name)
        assert match
        layer, part, suffix = match.groups()
        sources = self.names.get(part)
        if sources is None or (part == "norm" and layer is not None):
            return []
        prefix = family.root if layer is None else f"{family.root}{family.layers}.{layer}."
        if part == "head":
            prefix = ""
        return [f"{prefix}{source}.{suffix}" for source in ((sources,) if isinstance(sources, str) else sources)]

    def __call__(self, name: str) -> np.ndarray | None:
        """Load a weight. Raises RecipeError if only some of its parts exist."""
        if name == "head.weight" and self.config.tie_word_embeddings:
            return None
        sources = self.sources(name)
        if name == "head.weight" and self.files.find(sources[0]) is None:
            sources = ["lm_head.weight"]
        parts = [self.files.load(source) for source in sources]
        values = [part for part in parts if part is not None]
        if not values:
            return None
        if len(values) < len(parts):
            missing = [source for source, part in zip(sources, parts, strict=True) if part is None]
            raise RecipeError(f"{self.files.folder} has no {', '.join(missing)}; the checkpoint is incomplete.")
        return self.converted(name, values[0] if len(values) == 1 else np.concatenate(values))

    def converted(self, name: str, values: np.ndarray) -> np.ndarray:
        family = self.family
        if family.transposed and values.ndim == 2 and name not in ("tokens.weight", "positions.weight", "head.weight"):
            values = np.ascontiguousarray(values.T)
        if ".qkv." in name:
            values = np.ascontiguousarray(family.unpacked(self.config, values))
        if family.norm_offset and values.ndim == 1 and name.endswith(".weight"):
            values = values + np.float32(family.norm_offset)
        return values[family.first_position :] if name == "positions.weight" else values

    def check_all_read(self) -> None:
        """Raise RecipeError if the checkpoint has weights that the graph does not contain."""
        files = self.files
        tied = {"lm_head.weight", *self.sources("head.weight")} if self.config.tie_word_embeddings else set()
        rest = [name for name in files.entries if name not in files.read | tied and not BUFFERS.search(name)]
        if rest:
            raise RecipeError(
                f"{files.folder} has weights that a {self.config.model_type} model does not use, such as "
                f"{', '.join(rest[:3])}. Export the model to ONNX and import the graph."
            )


def by_head(config: Any, values: np.ndarray) -> np.ndarray:
    """Of a matrix that has query, key and value of the first head, then those of the second, and so on."""
    grouped = values.reshape(config.num_attention_heads, 3, -1, *values.shape[1:])
    return np.swapaxes(grouped, 0, 1).reshape(values.shape)


def by_head_unless_shared(config: Any, values: np.ndarray) -> np.ndarray:
    """Of a matrix by head, unless all heads share one key and one value, which then follow the queries."""
    return values if config.multi_query else by_head(config, values)


def by_group(config: Any, values: np.ndarray) -> np.ndarray:
    """Of Falcon's matrix: by head, or the queries that share a key and a value, then these."""
    if not config.new_decoder_architecture:
        return by_head_unless_shared(config, values)
    queries = config.num_attention_heads // config.num_kv_heads
    grouped = values.reshape(config.num_kv_heads, queries + 2, -1, *values.shape[1:])
    parts = grouped[:, :-2], grouped[:, -2:-1], grouped[:, -1:]
    return np.concatenate([part.reshape(-1, *values.shape[1:]) for part in parts])


def by_shard(config: Any, values: np.ndarray) -> np.ndarray:
    """Of CodeGen's matrix: query, value and key of the first of the four parts that it was trained in, and so on."""
    grouped = values.reshape(4, 3, -1, *values.shape[1:])
    return np.swapaxes(grouped[:, [0, 2, 1]], 0, 1).reshape(values.shape)
