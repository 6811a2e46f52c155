"""Hearth: AI models as a service, from serverless functions. The runtime that every function imports."""

import os
import sys

# ONNX Runtime reads these while it is imported, so they must stand before any import of it: its
# telemetry writes a device id below $HOME and opens a connection (aws.md, fault 4).
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
# The tokenizer's own threads would fight the session's for a Lambda's CPU share (fault 19).
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# NumPy multiplies small matrices: its library's threads bring nothing, and wait for work by spinning.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# What msgspec asks of typing_extensions, typing has had since 3.11: a quarter of the time before a first byte is asked.
if "msgspec" not in sys.modules and sys.modules.setdefault("typing_extensions", None) is None:  # type: ignore[arg-type]
    import msgspec as _msgspec

    del sys.modules["typing_extensions"], _msgspec

__version__ = "0.1.0"
