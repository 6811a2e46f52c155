"""Creation of a session: int8 BERT of 110 MB, 2 threads, its files in the page cache.

Each turn is a process of its own, its imports not counted.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.area import ROOT, Case, Way
from tests.benchmarks.bert import MODEL, bucket
from tests.benchmarks.fresh import way

PATH = "by path with optimisation"


def cases(work: Path) -> Sequence[Case]:
    plain = bucket() / "bucket/plain/model.onnx"
    ours = bucket() / "bucket" / MODEL / "1/model.onnx"
    by_path = session_way(PATH, f"onnxruntime.InferenceSession({str(plain)!r}, options)")
    by_bytes = session_way(
        "by bytes with optimisation", f"onnxruntime.InferenceSession(open({str(plain)!r}, 'rb').read(), options)"
    )
    hearth = session_way("Hearth", f"create_session(Path({str(ours)!r}), 2, 'cpu')")
    ways = [hearth, by_path, by_bytes]
    return [
        Case("seconds", ways, PATH, 0.30, limit="0.23, prepacked in parallel"),
        Case("highest resident memory", ways, PATH, figure="peak_mb"),
    ]


def session_way(name: str, call: str) -> Way:
    imports = "from pathlib import Path; import onnxruntime; from hearth.models.model import create_session; "
    options = "options = onnxruntime.SessionOptions(); options.intra_op_num_threads = 2; "
    clock = "started, processor = time.perf_counter(), time.process_time(); "
    runtime = str(ROOT / "layers/runtime/python")
    return way(name, lambda: Path(sys.executable), imports + options + clock + call, lambda: {"PYTHONPATH": runtime})
