"""LoRA adapters, merged into the model that they were trained on.

A merged weight is W + scale * B A (Hu et al. 2021), where `scale` is alpha / rank, or alpha / sqrt(rank) with rsLoRA.
"""

from __future__ import annotations

import atexit
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hearth_build.importing.source import Source, read_object
from hearth_build.recipe import RecipeError

if TYPE_CHECKING:
    from torch import Tensor

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
KEY = re.compile(r"base_model\.model\.(?P<module>.+)\.lora_(?P<part>[AB])(\.\w+)?\.weight")
REFUSED = {
    "use_dora": "DoRA",
    "lora_bias": "biases of LoRA",
    "rank_pattern": "ranks by module",
    "alpha_pattern": "alphas by module",
}
"""Settings that change how an adapter is merged."""


def is_adapter(folder: Path) -> bool:
    return (folder / CONFIG).is_file()


def merge(folder: Path, title: str, open_base: Callable[[str], Source]) -> Source:
    """The base of an adapter with the adapter merged, in a folder that lasts as long as this process.

    Raises RecipeError.
    """
    from safetensors.torch import load_file, save_file

    config = read_object(folder / CONFIG)
    if config.get("peft_type") != "LORA":
        raise RecipeError(f"{folder} holds a {config.get('peft_type')} adapter; LoRA adapters are merged.")
    for setting, name in REFUSED.items():
        if config.get(setting):
            raise RecipeError(f"{folder} uses {name}. Merge it with peft: model.merge_and_unload().save_pretrained().")
    if not (folder / WEIGHTS).is_file():
        raise RecipeError(f"{folder} has {CONFIG} but no {WEIGHTS}.")
    base = find_base(folder, config, open_base)
    weights = base.load_weights()
    scale = float(config["lora_alpha"]) / (float(config["r"]) ** (0.5 if config.get("use_rslora") else 1))
    pairs: dict[str, dict[str, Tensor]] = {}
    for key, tensor in load_file(folder / WEIGHTS).items():
        if match := KEY.fullmatch(key):
            pairs.setdefault(match["module"], {})[match["part"]] = tensor.float()
        else:  # modules that were trained whole, such as a new classifier
            name = key.removeprefix("base_model.model.").replace(".modules_to_save.default", "")
            name = name.replace(".modules_to_save", "").replace(".base_layer", "")
            weights[name] = tensor
    for module, parts in pairs.items():
        name = weight_name(module, weights, folder)
        update = scale * (parts["B"] @ parts["A"])
        update = update.T if config.get("fan_in_fan_out") else update
        weights[name] = (weights[name].float() + update).to(weights[name].dtype)
    merged = Path(tempfile.mkdtemp(prefix="hearth-merged-"))
    atexit.register(shutil.rmtree, merged, ignore_errors=True)
    for place in (base.folder, folder):  # the adapter's tokenizer and configuration come second
        for path in place.iterdir():
            if path.is_file() and path.suffix in (".json", ".txt", ".model", ".spm", ".jinja"):
                shutil.copyfile(path, merged / path.name)
    for name in ("model.safetensors.index.json", CONFIG):
        (merged / name).unlink(missing_ok=True)
    save_file(
        {name: tensor.contiguous() for name, tensor in weights.items()}, merged / "model.safetensors", {"format": "pt"}
    )
    return Source(merged, f"{folder.name}", base.config, weights=(merged / "model.safetensors",))


def find_base(folder: Path, config: dict[str, Any], open_base: Callable[[str], Source]) -> Source:
    """The base beside the adapter, in its folder, at the path that it names, or on the hub. Raises RecipeError."""
    name = str(config.get("base_model_name_or_path") or "")
    places = [folder / "base", folder.parent / Path(name).name, folder.parent, Path(name)]
    if (folder / "config.json").is_file() and list(folder.glob("model*.safetensors")):
        places.insert(0, folder)
    for place in places:
        if (place / "config.json").is_file() and (weights := sorted(place.glob("model*.safetensors"))):
            return Source(place, place.name, read_object(place / "config.json"), weights=tuple(weights))
    try:
        base = open_base(name)
    except RecipeError as error:
        raise RecipeError(
            f"{folder} holds a LoRA adapter of {name or 'an unnamed model'}, which is not beside it. Put that model's "
            f"folder at {folder.parent / Path(name).name}. ({error})"
        ) from None
    if not base.weights:
        raise RecipeError(f"{name} has no safetensors, into which the adapter {folder} could be merged.")
    return base


def weight_name(module: str, weights: dict[str, Tensor], folder: Path) -> str:
    """The name of a module's weight in the base, which may lack the prefix of the model without its head."""
    for name in (f"{module}.weight", f"{module.partition('.')[2]}.weight"):
        if name in weights:
            return name
    raise RecipeError(f"{folder} adapts {module}, which its base does not have.")
