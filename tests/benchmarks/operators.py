"""Where a graph's time goes, operator by operator: `python -m tests.benchmarks.operators GRAPH [THREADS [SIZE]]`.

SIZE stands for every dimension that is not fixed, except the batch. The table explains why a row of the benchmark
falls short.
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
    """Operator, count, milliseconds per run, and share of the whole; the most expensive first."""
    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL  # as it is served
        options.intra_op_num_threads = threads
        options.enable_profiling, options.profile_file_prefix = True, f"{folder}/profile"
        session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
        feeds = {
            tensor.name: np.ones(
                [
                    length if isinstance(length, int) else size if axis else 1
                    for axis, length in enumerate(tensor.shape)
                ],
                np.float32 if tensor.type == "tensor(float)" else np.int64,
            )
            for tensor in session.get_inputs()
        }
        for _ in range(ROUNDS):
            session.run(None, feeds)
        events = json.loads(Path(session.end_profiling()).read_text())
    kernels = [(event["args"]["op_name"], event["dur"]) for event in events if event["name"].endswith("kernel_time")]
    times, counts = Counter[str](), Counter(name for name, _ in kernels)
    for name, microseconds in kernels:
        times[name] += microseconds
    all_microseconds = sum(times.values())
    return [
        (name, counts[name] // ROUNDS, total / 1000 / ROUNDS, total / all_microseconds)
        for name, total in times.most_common()
    ]


def main() -> None:
    graph, *options = sys.argv[1:]
    threads, size = [*map(int, options), *(1, 128)[len(options) :]]
    unit = "thread" if threads == 1 else "threads"
    print(f"| operator | count | ms, {threads} {unit}, size {size} | share |\n|---|---:|---:|---:|")
    for name, count, milliseconds, share in shares(Path(graph), threads, size)[:SHOWN]:
        print(f"| {name} | {count} | {milliseconds:.2f} | {share:.1%} |")


if __name__ == "__main__":
    main()
