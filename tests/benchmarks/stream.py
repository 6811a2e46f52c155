"""`python -m tests.benchmarks.stream`: print when each token of a response arrives.

gpt-shakespeare under our own runtime (Python 3.13, the layers' packages), called twice, cold and warm, through a
Runtime API on this machine; milliseconds count from the moment at which the runtime received the event.
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
BODY = {"inputs": "ROMEO:\nBut soft, what light", "parameters": {"max_new_tokens": 24, "temperature": 0.8, "seed": 1}}
ENVIRONMENT = {"HEARTH_STORE": (ROOT / "export/zoo").as_uri(), "HEARTH_MODELS": MODEL, "ORT_DISABLE_TELEMETRY": "1"}


def main() -> None:
    request = event("function-url", path=f"/models/{MODEL}", body=json.dumps({**BODY, "stream": True}))
    with RuntimeApi() as api, api.runtime(ROOT / "functions/text_generation", ENVIRONMENT):
        for state in ("cold", "warm"):
            print(f"{state}: ms since the event, bytes of the chunk, text")
            show(api, request)


def show(api: RuntimeApi, request: dict[str, Any]) -> None:
    api.offer(request)
    started = time.perf_counter()
    api.streaming_head()
    while chunk := api.chunk():
        milliseconds = (time.perf_counter() - started) * 1000
        for line in chunk.rpartition(bytes(8))[2].decode().strip().split("\n\n"):
            text = json.loads(line.removeprefix("data:"))["token"]["text"] if line.startswith("data:") else line
            print(f"{milliseconds:9.2f} {len(chunk):5d}  {text!r}")
    sys.stdout.flush()
    api.trailers()
    api.accept()


if __name__ == "__main__":
    main()
