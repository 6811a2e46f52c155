"""Bytes first: on a cold Lambda the pinned models travel while the interpreter imports the rest.

A model that is the only one is loaded too, before any event asks for it. Of several, the one that the first event asks
for is loaded while the event is read: ONNX Runtime needs no interpreter for it. `hearth bench cold` measures both.
"""

from __future__ import annotations

import threading
from contextlib import suppress

from hearth import settings
from hearth.errors import HearthError
from hearth.models.cache import warm_cache

# The request that needs a model meets the same error as these threads, and can tell its caller.


def start_fetch() -> threading.Thread:
    """Begin to fetch what HEARTH_MODELS names, on a thread."""
    thread = threading.Thread(target=_fetch, name="hearth-fetch", daemon=True)
    thread.start()
    return thread


def start_load(name: str) -> threading.Thread:
    """Begin to load `name` on a thread; the request for it waits for that load instead of beginning its own."""
    thread = threading.Thread(target=_load, args=(name,), name="hearth-load", daemon=True)
    thread.start()
    return thread


def _fetch() -> None:
    with suppress(HearthError):
        names = settings.get().models
        bring = warm_cache().preload if len(names) == 1 else warm_cache().prefetch
        for name in names:
            bring(name)


def _load(name: str) -> None:
    with suppress(HearthError):
        warm_cache().preload(name)
