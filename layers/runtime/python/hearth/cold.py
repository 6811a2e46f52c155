"""Start the bytes first: on a cold Lambda the pinned models travel while the interpreter imports the rest."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping

from hearth import settings
from hearth.cache import warm
from hearth.errors import HearthError


def start(environ: Mapping[str, str] = os.environ) -> threading.Thread | None:
    """Begin to fetch what HEARTH_MODELS names, on a thread; nothing outside Lambda or where it names nothing."""
    if "AWS_LAMBDA_RUNTIME_API" not in environ or not environ.get("HEARTH_MODELS"):
        return None
    thread = threading.Thread(target=_prefetch, name="hearth-prefetch", daemon=True)
    thread.start()
    return thread


def _prefetch() -> None:
    for name in settings.get().models:
        try:
            warm().prefetch(name)
        except HearthError:
            return  # the request that needs the model will meet the same fault, and can tell its caller
