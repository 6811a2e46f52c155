"""No server: session.run in one thread, one call after the other: `direct.py FOLDER TEXT SECONDS`."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "peers"))
from turns import serve

if __name__ == "__main__":
    os.environ["BENCH_MODEL"], text, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
    from model import Classifier

    classify = Classifier()
    feeds = classify.encode(text)

    def turn() -> dict[str, float]:
        count, started = 0, time.perf_counter()
        while time.perf_counter() - started < seconds:
            classify.session.run(["logits"], feeds)
            count += 1
        return {"answers_per_second": count / (time.perf_counter() - started)}

    serve(turn)
