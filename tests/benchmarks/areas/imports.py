"""Imports of a handler: Python 3.13, bytecode compiled, the interpreter's own start left out.

Each turn is a fresh interpreter with the layers as they are deployed. Everything that a handler imports for its
first response counts, including the imports that wait for an event: ONNX Runtime and the tokenizer.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.benchmarks.area import ROOT, Case, Way
from tests.benchmarks.areas.cold import layers, packages
from tests.benchmarks.fresh import way
from tests.support.layers import python313, runtime_client

NEEDED = "import onnxruntime, numpy, tokenizers"
MINIMAL = "onnxruntime + numpy + tokenizers"
TYPICAL = "from fastapi import FastAPI; from mangum import Mangum; from pydantic import BaseModel; import boto3"


def cases(work: Path) -> Sequence[Case]:
    minimal = interpreter(MINIMAL, NEEDED, layers)
    typical = interpreter("the same + FastAPI + Mangum + boto3", f"{NEEDED}; {TYPICAL}", tutorial)
    http = interpreter("Hearth, HTTP event", f"{NEEDED}; import app, hearth.aws_lambda.http_adapter", handler)
    event = interpreter(
        "Hearth, storage or direct event",
        f"{NEEDED}; import app, hearth.async_inference.storage_events, hearth.async_inference.batch",
        handler,
    )
    return [
        Case("HTTP event", [http, minimal, typical], MINIMAL, 2.2, limit="4.9 typical"),
        Case("storage or direct event", [event, minimal], MINIMAL, 1.2),
    ]


def interpreter(name: str, code: str, folders: Callable[[], Sequence[Path]]) -> Way:
    def environment() -> Mapping[str, str]:
        return {"PYTHONPATH": os.pathsep.join(map(str, folders()))}

    return way(name, python313, code, environment)


def handler() -> list[Path]:
    return [ROOT / "functions/text_classification", *layers()]


def tutorial() -> list[Path]:
    return [packages("tokenizers", "tokenizers==0.23.3"), runtime_client()]
