"""Models of the Hugging Face hub: only the files that an import needs, of one pinned revision.

huggingface_hub keeps the files in its cache, resumes interrupted downloads and prints their progress. `HF_ENDPOINT`,
`HF_TOKEN` and `HF_HOME` work as everywhere else.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from pathlib import Path

from hearth_build.importing.source import GENERATORS
from hearth_build.recipe import RecipeError

CONFIGURATION = ("*.json", "*.txt", "*.model", "*.spm", "*.jinja")
"""Small files: configurations, tokenizers, labels."""
MAX_CONFIGURATION_BYTES = 100_000_000
GRAPHS = ("onnx/model.onnx", "model.onnx")
"""The names of an export in full precision."""


def download(name: str, revision: str | None) -> tuple[Path, str]:
    """Download a model; returns its folder and its name with the commit. Raises RecipeError."""
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        info = HfApi().model_info(name, revision=revision, files_metadata=True)
        sizes = {file.rfilename: file.size or 0 for file in info.siblings or ()}
        names = (info.config or {}).get("architectures") or ()
        files = needed_files(sizes, generates=any(str(name).endswith(GENERATORS) for name in names))
        if not files:
            raise RecipeError(
                f"{name} on the hub has neither .onnx nor .safetensors files, but "
                f"{', '.join(sorted(sizes)[:6])}. Convert it first: load it with transformers where it is trusted, and "
                "save_pretrained() writes safetensors."
            )
        folder = snapshot_download(name, revision=info.sha, allow_patterns=files)
    except GatedRepoError:
        raise RecipeError(
            f"{name} is gated: accept its conditions at https://huggingface.co/{name}, then set HF_TOKEN."
        ) from None
    except RevisionNotFoundError:
        raise RecipeError(f"{name} has no revision {revision!r} on the hub.") from None
    except RepositoryNotFoundError:
        raise RecipeError(
            f"{name} is neither a file nor a folder here, nor a public model of the hub. HF_TOKEN opens private ones."
        ) from None
    except RecipeError:
        raise
    except Exception as error:  # the HTTP client, whose errors come through, differs by version of huggingface_hub
        is_known = isinstance(error, HfHubHTTPError | LocalEntryNotFoundError | OSError)
        if not is_known and not type(error).__module__.startswith(("httpx", "requests")):
            raise
        cause = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise RecipeError(f"{name} is neither a file nor a folder here, and the hub cannot be asked: {cause}") from None
    return Path(folder), f"{name}@{str(info.sha)[:12]}"


def needed_files(sizes: dict[str, int], *, generates: bool = False) -> list[str]:
    """The files to download: the configuration, and the graph, or the safetensors where there is none.

    `generates`: the model writes text, and is imported from safetensors.
    """
    names = sorted(sizes)
    files = [name for name in names if matches(name, CONFIGURATION) and sizes[name] <= MAX_CONFIGURATION_BYTES]
    main = next((name for name in GRAPHS if name in sizes), None)
    if main is not None and not generates:
        wanted = (main, main.replace("model.onnx", "model_quantized.onnx"))
        return files + [
            name for name in names if any(name in (stem, f"{stem}_data", f"{stem}.data") for stem in wanted)
        ]
    weights = [name for name in names if name.endswith(".safetensors") and "/" not in name]
    if any(name.endswith(".safetensors.index.json") for name in names):
        weights = [name for name in weights if name.startswith("model-")] or weights
    if weights:
        nested = [name for name in names if "/" in name and name.endswith(".safetensors") and "Dense" in name]
        return files + weights + nested
    any_graph = [name for name in names if name.endswith((".onnx", ".onnx_data", ".onnx.data"))]
    return files + any_graph if any_graph else []


def matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatch(name, pattern) for pattern in patterns)
