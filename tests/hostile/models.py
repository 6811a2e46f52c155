"""A store with a small model of every task, and functions that make this process serve it."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from hearth import settings
from hearth.models.cache import warm_cache
from hearth_build import ZOO
from tests.support.artifacts import make_image_artifact, make_text_artifact

FROM_ZOO = ("embeddings-en", "deepspeech-digits", "gpt-shakespeare", "ner-zh", "translate-en-zh")
RANDOM_MODELS = Path(tempfile.gettempdir()) / "hearth-random-models"
"""Cache of the models with random weights, which torch builds slowly."""


def make_store(folder: Path) -> Path:
    """`sentiment-en`, `resnet20-cifar10`, `squares` (detects and tracks), some of the zoo, and random weights."""
    from tests.functions.films import make_squares

    for make in (make_text_artifact, make_image_artifact):
        make(folder)
    make_squares(folder)
    for name in FROM_ZOO:
        shutil.copytree(ZOO / name, folder / name)
    for manifest in sorted(_random_models().glob("*/1/manifest.json")):
        model = manifest.parent.parent
        shutil.copytree(model, folder / model.name)
    return folder


def _random_models() -> Path:
    """The folder with the models of `checkpoints.RANDOM` and of `imports.MODELS`."""
    if not RANDOM_MODELS.exists():
        from tests.functions import checkpoints
        from tests.hostile import imports

        with tempfile.TemporaryDirectory() as work:
            checkpoints.put_random(Path(work), Path(work) / "store")
            imports.put(Path(work), Path(work) / "store")
            shutil.copytree(Path(work) / "store", built := RANDOM_MODELS.with_suffix(f".{os.getpid()}"))
        try:
            built.rename(RANDOM_MODELS)
        except OSError:  # another run has built them meanwhile
            shutil.rmtree(built)
    return RANDOM_MODELS


def serve(store: Path, cache: Path) -> None:
    os.environ |= {"HEARTH_STORE": store.as_uri(), "HEARTH_CACHE_DIR": str(cache), "HEARTH_THREADS": "1"}
    settings.get.cache_clear()
    warm_cache.cache_clear()


def stop_serving() -> None:
    """Forget the store and all loaded models."""
    settings.get.cache_clear()
    warm_cache.cache_clear()
