"""sentence-transformers' modules after the transformer: pooling, dense layers, normalization, and prompts.

The runtime pools by the mean and by the first token. All other kinds, and dense layers, become part of the graph.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx
from onnx import compose, version_converter

from hearth.models.heads import Pooling
from hearth_build.importing.base import ImportOptions
from hearth_build.importing.source import Source, read_object
from hearth_build.recipe import RecipeError

if TYPE_CHECKING:
    from torch import nn

MODES = {
    "mean_tokens": "mean",
    "cls_token": "cls",
    "lasttoken": "last",
    "max_tokens": "max",
    "mean_sqrt_len_tokens": "sqrt",
    "weightedmean_tokens": "weighted",
}
"""The modes of sentence-transformers, by the names in their configuration, and their short names here."""
RUNTIME_METHODS = ("mean", "cls")
"""Methods of the runtime."""


@dataclass(frozen=True)
class SentenceModules:
    """What follows the transformer."""

    methods: tuple[str, ...]
    """Values of MODES; vectors of several methods are concatenated."""
    dense: tuple[Path, ...] = ()
    """Folders of dense layers."""
    normalise: bool = False

    @property
    def are_in_graph(self) -> bool:
        return len(self.methods) > 1 or self.methods[0] not in RUNTIME_METHODS or bool(self.dense)


def read_modules(source: Source, options: ImportOptions) -> SentenceModules:
    """The modules of a folder; without modules.json those that --pooling names. Raises RecipeError."""
    if not (source.folder / "modules.json").is_file():
        return SentenceModules((options.pooling or "mean",))
    methods: tuple[str, ...] = ()
    dense: list[Path] = []
    normalise = False
    for module in source.modules:
        kind, folder = str(module["type"]).rpartition(".")[2], source.folder / str(module.get("path", ""))
        match kind:
            case "Transformer":
                continue
            case "Pooling":
                methods = pooling_methods(folder / "config.json")
            case "Dense":
                dense.append(folder)
            case "Normalize":
                normalise = True
            case _:
                raise RecipeError(
                    f"{source.path}/modules.json has the module {module['type']}; imported are a Transformer, then "
                    "Pooling, and optionally Dense and Normalize."
                )
    if options.pooling:
        methods = (options.pooling,)
    if not methods:
        raise RecipeError(f"{source.path}/modules.json has no Pooling. Add --pooling mean or cls.")
    return SentenceModules(methods, tuple(dense), normalise)


def pooling_methods(path: Path) -> tuple[str, ...]:
    """The methods of a Pooling module's configuration, of any version of sentence-transformers."""
    config = read_object(path)
    modes = config.get("pooling_mode")
    if modes is None:
        modes = [name.removeprefix("pooling_mode_") for name, value in config.items() if "_mode_" in name and value]
    modes = [modes] if isinstance(modes, str) else modes
    short = {"lasttoken": "last", "mean_sqrt_len_tokens": "sqrt", "weightedmean": "weighted"}
    methods = [MODES.get(mode, short.get(mode, mode)) for mode in modes]
    known = (*MODES.values(),)
    if not methods or any(method not in known for method in methods):
        raise RecipeError(f"{path} pools by {', '.join(methods) or 'nothing'}; imported are {', '.join(known)}.")
    return tuple(methods)


def read_head(source: Source, options: ImportOptions, hidden: int) -> Pooling:
    modules = read_modules(source, options)
    dimensions = hidden * len(modules.methods)
    for folder in modules.dense:
        dimensions = int(read_object(folder / "config.json")["out_features"])
    prompts, default = read_prompts(source)
    return Pooling(
        method="none" if modules.are_in_graph else modules.methods[0],  # type: ignore[arg-type]
        normalise=modules.normalise,
        dimensions=dimensions,
        prompts=prompts,
        default_prompt=default,
    )


def read_prompts(source: Source) -> tuple[dict[str, str], str | None]:
    """The prompts by name, and the name of the default one."""
    config = source.read_json("config_sentence_transformers.json")
    prompts = {str(name): str(text) for name, text in (config.get("prompts") or {}).items() if text}
    default = config.get("default_prompt_name")
    return prompts, default if default in prompts else None


def pooling_network(modules: SentenceModules, source: Source) -> nn.Module:
    """Vectors (batch, dimensions) from tokens (batch, sequence, hidden) and their mask."""
    from hearth_build.networks.pooling import PoolingNetwork

    layers: list[tuple[dict[str, Any], dict[str, Any]]] = []
    for folder in modules.dense:
        from safetensors.torch import load_file

        weights = folder / "model.safetensors"
        if not weights.is_file():
            raise RecipeError(f"{folder} has no model.safetensors. Save the model again with sentence-transformers.")
        layers.append((read_object(folder / "config.json"), load_file(weights)))
    return PoolingNetwork(modules.methods, layers)


def opset_of(model: onnx.ModelProto) -> int:
    return next(int(entry.version) for entry in model.opset_import if entry.domain in ("", "ai.onnx"))


def append_to_graph(model: onnx.ModelProto, network: nn.Module, hidden: int) -> onnx.ModelProto:
    """A graph whose output `tokens` becomes the vectors (batch, dimensions) of the pooling network."""
    import torch

    from hearth_build.onnx_export.export import exported

    def example() -> dict[str, torch.Tensor]:
        return {"tokens": torch.zeros(2, 8, hidden), "attention_mask": torch.ones(2, 8, dtype=torch.int64)}

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "pooling", "raw", "pooling.onnx")
        path.parent.mkdir(parents=True)
        exported(example, {0: "batch", 1: "sequence"}, ["vectors"])(network, path)
        head = onnx.load(str(path))
    opsets = [
        next(entry.version for entry in part.opset_import if entry.domain in ("", "ai.onnx")) for part in (model, head)
    ]
    model, head = (
        part if opset == max(opsets) else version_converter.convert_version(part, max(opsets))
        for part, opset in zip((model, head), opsets, strict=True)
    )
    head = compose.add_prefix(head, "pooling.", rename_inputs=False, rename_outputs=False)
    model.graph.node.extend(head.graph.node)
    model.graph.initializer.extend(head.graph.initializer)
    model.functions.extend(head.functions)
    del model.graph.output[:]
    model.graph.output.extend(head.graph.output)
    return model
