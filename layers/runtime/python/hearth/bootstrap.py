"""Prepares a process before it imports other modules of Hearth, and loads a function.

This is the only module that writes to `os.environ` and `sys.modules`. Each setting shortens a cold start or disables
unwanted behaviour of a library; `hearth bench cold` and `python -m tests.kept_fast` measure the effect.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

SWITCH_SECONDS = 0.0002
"""Interval after which an import yields to a thread that has received bytes. Python's default of 5 ms is longer than it
takes to receive and hash a block."""


def prepare_process() -> None:
    """Set variables that libraries read at import. Call it before importing NumPy, ONNX Runtime or msgspec."""
    # ONNX Runtime's telemetry writes a device id below $HOME and opens a connection.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    # The tokenizer's threads would compete with the session's threads for a Lambda's CPUs.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # NumPy multiplies only small matrices here: threads of OpenBLAS do not help, and spin while they wait for work.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    skip_typing_extensions()


def skip_typing_extensions() -> None:
    """Import msgspec without typing_extensions, which takes a quarter of the time until the first download starts. What
    msgspec imports from it is in `typing` since Python 3.11."""
    if "msgspec" in sys.modules or "typing_extensions" in sys.modules:
        return
    sys.modules["typing_extensions"] = None  # type: ignore[assignment]
    try:
        importlib.import_module("msgspec")
    finally:
        del sys.modules["typing_extensions"]


def load_function(module: str, environ: Mapping[str, str] = os.environ) -> Any:
    """Import a function's module and return its `handler`. On Lambda, the models of HEARTH_MODELS are downloaded
    meanwhile, and ONNX Runtime is imported, which every model needs.

    Raises what the module's import raises.
    """
    if "AWS_LAMBDA_RUNTIME_API" not in environ:
        return importlib.import_module(module).handler
    with _yield_to_download_thread():
        if environ.get("HEARTH_MODELS"):
            importlib.import_module("hearth.models.preload").start_fetch()
            import_onnxruntime()
        handler = importlib.import_module(module).handler
        if getattr(handler, "tasks", ()):
            import_onnxruntime()
        return handler


def import_onnxruntime() -> None:
    """Import NumPy whole before: see `hearth.models.model`."""
    importlib.import_module("numpy")
    importlib.import_module("onnxruntime")


@contextmanager
def _yield_to_download_thread() -> Iterator[None]:
    """Let the download thread run during the imports of the block."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.disable()  # imports create no garbage, but would start hundreds of collections
    try:
        yield
    finally:
        gc.freeze()  # imported objects are never collected
        gc.enable()
        sys.setswitchinterval(interval)
