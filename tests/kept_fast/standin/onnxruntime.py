"""Stand-in for ONNX Runtime when the code around `session.run` is measured: every run returns the same logits."""

from types import SimpleNamespace

import numpy as np

LOGITS = np.array([[0.5, 1.5]], np.float32)  # (batch, labels)
GraphOptimizationLevel = SimpleNamespace(ORT_DISABLE_ALL=0)


class SessionOptions:
    def add_session_config_entry(self, name: str, value: str) -> None:
        """Ignore the option."""


class RunOptions:
    terminate = False


class InferenceSession:
    def __init__(self, path: str, options: SessionOptions, providers: list[str]) -> None:
        self.path = path

    def run(self, names: list[str], feeds: dict[str, object], options: RunOptions | None) -> list[object]:
        return [LOGITS]
