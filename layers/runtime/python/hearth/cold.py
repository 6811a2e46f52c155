"""Start the bytes first: on a cold Lambda the pinned models travel while the interpreter imports the rest.

And once the first event says which model it wants, that one is loaded while the web framework is imported: ONNX
Runtime needs no interpreter for it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from contextlib import suppress

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


def load(name: str) -> threading.Thread:
    """Begin to load `name` on a thread; the request for it waits for that load instead of beginning its own."""
    thread = threading.Thread(target=_preload, args=(name,), name="hearth-load", daemon=True)
    thread.start()
    return thread


# The request that needs the model will meet the same fault as these, and can tell its caller.


def _prefetch() -> None:
    with suppress(HearthError):
        for name in settings.get().models:
            warm().prefetch(name)


def _preload(name: str) -> None:
    with suppress(HearthError):
        warm().preload(name)
