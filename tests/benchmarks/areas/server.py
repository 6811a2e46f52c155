"""Local server: answers a second to four clients, an int8 BERT-base, 32 tokens.

The baseline is session.run without any server, by one thread, with its input ready. Every server has the same graph,
sessions of one thread, and both processors; the clients are threads of the command itself and use their share of both.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

from tests.benchmarks.area import ROOT, Case, Turn, Way
from tests.benchmarks.bert import MODEL, bucket
from tests.benchmarks.clients import SECONDS, server
from tests.benchmarks.venvs import venv
from tests.benchmarks.worker import worker
from tests.support.emulator import free_port

PEERS = ROOT / "tests/benchmarks/peers"
BASELINE = "session.run, one thread, no server"
TEXT = " ".join(["this is a great movie"] * 6)
BODY = json.dumps({"inputs": TEXT})
COMMON = ("onnxruntime==1.32.0", "numpy==2.4.6", "tokenizers==0.23.3")
UVICORN = ("fastapi==0.165.0", "uvicorn[standard]==0.54.0")
LITSERVE = ("torch==2.13.0", "litserve==0.2.19")
BENTOML = ("bentoml==1.4.39",)
MLSERVER = ("mlserver==1.7.1", "onnxruntime", "tokenizers")


def cases(work: Path) -> Sequence[Case]:
    ways = [
        Way("Hearth", hearth),
        Way(BASELINE, direct),
        Way("uvicorn + FastAPI", uvicorn),
        Way("LitServe", litserve),
        Way("BentoML", bentoml),
        Way("MLServer", partial(mlserver, work)),
    ]
    limit = "uvicorn's thread pool on both processors: 1.9"
    return [Case("four clients", ways, BASELINE, 1.9, figure="answers_per_second", limit=limit)]


def hearth() -> AbstractContextManager[Turn]:
    port = free_port()
    store = (bucket() / "bucket").as_uri()
    command = [Path(sys.executable).with_name("hearth"), "serve", "--store", store, "--port", str(port)]
    environment = {"HEARTH_MODELS": MODEL, "PYTHONPATH": str(ROOT)}
    return server(command, f"http://127.0.0.1:{port}/models/{MODEL}", BODY, environment, ROOT)


def direct() -> AbstractContextManager[Turn]:
    return worker([sys.executable, ROOT / "tests/benchmarks/engines/direct.py", _plain(), TEXT, str(SECONDS)])


def uvicorn() -> AbstractContextManager[Turn]:
    port, python = free_port(), venv("fastapi", *COMMON, *UVICORN)
    command = [python, "-m", "uvicorn", "fastapi_server:app", "--port", str(port), "--log-level", "error"]
    return _peer(command, f"http://127.0.0.1:{port}/models/random-bert")


def litserve() -> AbstractContextManager[Turn]:
    port, python = free_port(), venv("litserve", *COMMON, *LITSERVE)
    return _peer([python, "litserve_server.py", str(port)], f"http://127.0.0.1:{port}/predict")


def bentoml() -> AbstractContextManager[Turn]:
    port, python = free_port(), venv("bentoml", *COMMON, *BENTOML)
    command = [python, "-m", "bentoml", "serve", "bentoml_server:Classify", "--host", "127.0.0.1", "--port", str(port)]
    return _peer(command, f"http://127.0.0.1:{port}/models", {"BENTOML_DO_NOT_TRACK": "true"})


@contextmanager
def mlserver(work: Path) -> Iterator[Turn]:
    python, folder = venv("mlserver", *MLSERVER), work / "mlserver"
    folder.mkdir(parents=True, exist_ok=True)
    ports = {f"{kind}_port": free_port() for kind in ("http", "grpc", "metrics")}
    settings = {"host": "127.0.0.1", "parallel_workers": 0, **ports}
    (folder / "settings.json").write_text(json.dumps(settings))
    model_settings = {"name": MODEL, "implementation": "mlserver_runtime.Runtime"}
    (folder / "model-settings.json").write_text(json.dumps(model_settings))
    tensor = {"name": "text", "shape": [1], "datatype": "BYTES", "data": [TEXT]}
    url = f"http://127.0.0.1:{ports['http_port']}/v2/models/{MODEL}/infer"
    command = [python.parent / "mlserver", "start", folder]
    with server(command, url, json.dumps({"inputs": [tensor]}), _environment(python), PEERS) as turn:
        yield turn


def _peer(
    command: Sequence[str | Path], url: str, variables: Mapping[str, str] | None = None
) -> AbstractContextManager[Turn]:
    environment = _environment(Path(command[0])) | dict(variables or {})
    return server(command, url, BODY, environment, PEERS)


def _environment(python: Path) -> dict[str, str]:
    path = f"{python.parent}{os.pathsep}{os.environ['PATH']}"
    return {"BENCH_MODEL": str(_plain()), "PYTHONPATH": str(PEERS), "PATH": path, "TOKENIZERS_PARALLELISM": "false"}


def _plain() -> Path:
    return bucket() / "bucket/plain"
