"""Downloads the pinned models of a cold Lambda while the interpreter still imports modules.

A single pinned model is loaded too, before the first event. Of several, the model that the first event names is loaded
while the event is read, since ONNX Runtime loads without the interpreter lock. `hearth bench cold` measures both.
"""

from __future__ import annotations

import threading
from contextlib import suppress

from hearth import settings
from hearth.auth import api_keys
from hearth.errors import HearthError
from hearth.models.cache import warm_cache

# Errors are suppressed here: a request for the model meets the same error and reports it.


def start_fetch() -> threading.Thread:
    """Start to download the models of HEARTH_MODELS in a thread."""
    thread = threading.Thread(target=_fetch, name="hearth-fetch", daemon=True)
    thread.start()
    return thread


def start_load(name: str, session: str) -> threading.Thread:
    """Start to load what `name` means for a session in a thread; the request for it waits for this load instead of
    starting its own."""
    thread = threading.Thread(target=_load, args=(name, session), name="hearth-load", daemon=True)
    thread.start()
    return thread


def _fetch() -> None:
    with suppress(HearthError):
        names = settings.get().models
        fetch = warm_cache().preload if len(names) == 1 else warm_cache().prefetch
        for name in names:
            fetch(name)


def _load(name: str, session: str) -> None:
    api_keys.set_session(session)
    with suppress(HearthError):
        warm_cache().preload(name)
