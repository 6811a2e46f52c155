"""What a process sets before it imports anything else of Hearth, and the start of a function.

The one place that writes to `os.environ` and `sys.modules`. Each line of it shortens a cold start or keeps a library
from doing what it must not; `hearth bench cold` and `python -m tests.kept_fast` measure it.
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
"""After which an import lets a thread go on that has received bytes. Python's own 5 ms, waited for after each block,
are longer than it takes to receive and to hash one."""


def prepare_process() -> None:
    """Set what libraries read while they are imported. Call it before any import of NumPy, ONNX Runtime or msgspec."""
    # ONNX Runtime's telemetry writes a device id below $HOME and opens a connection.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    # The tokenizer's own threads would compete with the session's for a Lambda's share of processors.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # NumPy multiplies small matrices here: threads of its library bring nothing, and wait for work by spinning.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    skip_typing_extensions()


def skip_typing_extensions() -> None:
    """Import msgspec without typing_extensions, a quarter of the time before the first byte is asked for: all that
    msgspec takes from it, `typing` has had since Python 3.11."""
    if "msgspec" in sys.modules or "typing_extensions" in sys.modules:
        return
    sys.modules["typing_extensions"] = None  # type: ignore[assignment]
    try:
        importlib.import_module("msgspec")
    finally:
        del sys.modules["typing_extensions"]


def load_function(module: str, environ: Mapping[str, str] = os.environ) -> Any:
    """The `handler` of a function's module. On Lambda the models that HEARTH_MODELS names travel meanwhile.

    Raises what the module's import raises.
    """
    if "AWS_LAMBDA_RUNTIME_API" not in environ or not environ.get("HEARTH_MODELS"):
        return importlib.import_module(module).handler
    with _beside_a_thread():
        importlib.import_module("hearth.models.preload").start_fetch()
        importlib.import_module("onnxruntime")  # every model needs it
        return importlib.import_module(module).handler


@contextmanager
def _beside_a_thread() -> Iterator[None]:
    """Let a thread that receives bytes get on beside the imports of the block."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.disable()  # imports make no garbage, and it would be looked for hundreds of times
    try:
        yield
    finally:
        gc.freeze()  # what was imported stays
        gc.enable()
        sys.setswitchinterval(interval)
