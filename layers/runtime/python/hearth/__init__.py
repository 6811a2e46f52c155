"""Hearth: AI models as a service, from serverless functions. The runtime that every function imports."""

import os

# ONNX Runtime reads these while it is imported, so they must stand before any import of it: its
# telemetry writes a device id below $HOME and opens a connection (aws.md, fault 4).
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
# The tokenizer's own threads would fight the session's for a Lambda's CPU share (fault 19).
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

__version__ = "0.1.0"
