"""`python -m tests.benchmarks.stream`: when each token of an answer arrives, printed as it does.

gpt-shakespeare under our own runtime (Python 3.13, the layers' packages), asked twice, cold and warm, through a Runtime
API on this machine; milliseconds from the moment at which the event was handed over.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from tests.events import event
from tests.support.layers import ROOT
from tests.support.runtime_api import RuntimeApi

MODEL = "gpt-shakespeare"
ASKED = {"inputs": "ROMEO:\nBut soft, what light", "parameters": {"max_new_tokens": 24, "temperature": 0.8, "seed": 1}}
ENVIRONMENT = {"HEARTH_STORE": (ROOT / "export/zoo").as_uri(), "HEARTH_MODELS": MODEL, "ORT_DISABLE_TELEMETRY": "1"}


def main() -> None:
    asked = event("function-url", path=f"/models/{MODEL}", body=json.dumps({**ASKED, "stream": True}))
    with RuntimeApi() as api, api.runtime(ROOT / "functions/text_generation", ENVIRONMENT):
        for kind in ("cold", "warm"):
            print(f"{kind}: ms since the event, bytes of the chunk, text")
            show(api, asked)


def show(api: RuntimeApi, asked: dict[str, Any]) -> None:
    api.offer(asked)
    started = time.perf_counter()
    api.streaming_head()
    while chunk := api.chunk():
        since = (time.perf_counter() - started) * 1000
        for part in chunk.rpartition(bytes(8))[2].decode().strip().split("\n\n"):
            text = json.loads(part.removeprefix("data:"))["token"]["text"] if part.startswith("data:") else part
            print(f"{since:9.2f} {len(chunk):5d}  {text!r}")
    sys.stdout.flush()
    api.trailers()
    api.accept()


if __name__ == "__main__":
    main()
