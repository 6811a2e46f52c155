"""What is said about a model in words."""

from __future__ import annotations

from hearth_build.pipeline.model_card import measured


def test_metrics_are_lines_with_their_intervals() -> None:
    served = {
        "accuracy": 0.91234,
        "largest golden difference": 0.0002,
        "milliseconds": 0.3696,
        "bytes": 1_847_501.0,
        "accuracy (test)": 0.9,
        "accuracy (test), low": 0.85,
        "accuracy (test), high": 0.95,
    }
    assert measured(served) == [
        "  accuracy 0.9123",
        "  differs from the original by at most 0.0002",
        "  0.37 ms for one input on one thread",
        "  size 1.85 MB",
        "  accuracy (test) 0.9 (95 % interval 0.85 to 0.95)",
    ]
