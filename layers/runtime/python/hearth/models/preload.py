"""Start the bytes first: on a cold Lambda the pinned models travel while the interpreter imports the rest.

A model that is the only one is loaded too, before any event asks for it. Of several, the one that the first event wants
is loaded while the event is read: ONNX Runtime needs no interpreter for it.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress

from hearth import settings
from hearth.errors import HearthError

NEEDED = "onnxruntime"
"""By every model; imported while its bytes travel."""
SWITCH_SECONDS = 0.0002
"""After which an import lets a thread go on that has received bytes. Python's own 5 ms, waited for after each block,
are longer than it takes to receive and to hash one."""


def start(*needed: str, environ: Mapping[str, str] = os.environ) -> threading.Thread | None:
    """Begin to fetch what HEARTH_MODELS names, on a thread, and import ONNX Runtime and the `needed` meanwhile.

    Does nothing outside Lambda or where it names nothing.
    """
    if "AWS_LAMBDA_RUNTIME_API" not in environ or not environ.get("HEARTH_MODELS"):
        return None
    gc.disable()  # imports make no rubbish, and it would be looked for hundreds of times
    from hearth.models import cache  # noqa: F401 -- what the thread needs first, before the long imports hold the interpreter

    thread = threading.Thread(target=_prefetch, args=(sys.getswitchinterval(),), name="hearth-prefetch", daemon=True)
    sys.setswitchinterval(SWITCH_SECONDS)
    thread.start()
    for name in (NEEDED, *needed):
        importlib.import_module(name)
    return thread


def load(name: str) -> threading.Thread:
    """Begin to load `name` on a thread; the request for it waits for that load instead of beginning its own."""
    thread = threading.Thread(target=_preload, args=(name,), name="hearth-load", daemon=True)
    thread.start()
    return thread


# The request that needs the model will meet the same fault as these, and can tell its caller.


def _prefetch(usual: float) -> None:
    from hearth.models.cache import warm

    try:
        with suppress(HearthError):
            names = settings.get().models
            bring = warm().preload if len(names) == 1 else warm().prefetch
            for name in names:
                bring(name)
    finally:
        sys.setswitchinterval(usual)
        gc.freeze()  # what was imported stays
        gc.enable()


def _preload(name: str) -> None:
    from hearth.models.cache import warm

    with suppress(HearthError):
        warm().preload(name)
