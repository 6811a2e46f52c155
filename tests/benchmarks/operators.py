"""Where a graph's time goes, operator by operator: `python -m tests.benchmarks.operators GRAPH [THREADS [SIZE]]`.

SIZE stands for every dimension that is not fixed, the batch aside. What a row of the benchmark says falls short is
explained by it.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import onnxruntime

ROUNDS = 20
SHOWN = 12


def shares(graph: Path, threads: int, size: int) -> list[tuple[str, int, float, float]]:
    """Operator, how many there are, milliseconds a run, and share of the whole; the dearest first."""
    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL  # as it is served
        options.intra_op_num_threads = threads
        options.enable_profiling, options.profile_file_prefix = True, f"{folder}/profile"
        session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
        feeds = {
            one.name: np.ones(
                [length if isinstance(length, int) else size if place else 1 for place, length in enumerate(one.shape)],
                np.float32 if one.type == "tensor(float)" else np.int64,
            )
            for one in session.get_inputs()
        }
        for _ in range(ROUNDS):
            session.run(None, feeds)
        told = json.loads(Path(session.end_profiling()).read_text())
    kernels = [(one["args"]["op_name"], one["dur"]) for one in told if one["name"].endswith("kernel_time")]
    times, counts = Counter[str](), Counter(name for name, _ in kernels)
    for name, microseconds in kernels:
        times[name] += microseconds
    whole = sum(times.values())
    return [(name, counts[name] // ROUNDS, taken / 1000 / ROUNDS, taken / whole) for name, taken in times.most_common()]


def main() -> None:
    graph, *more = sys.argv[1:]
    threads, size = [*map(int, more), *(1, 128)[len(more) :]]
    print(
        f"| operator | count | ms, {threads} thread{'s' * (threads > 1)}, size {size} | share |\n|---|---:|---:|---:|"
    )
    for name, count, milliseconds, share in shares(Path(graph), threads, size)[:SHOWN]:
        print(f"| {name} | {count} | {milliseconds:.2f} | {share:.1%} |")


if __name__ == "__main__":
    main()
