"""The ways of a vision area: the same JPEG through each engine, its decoding included."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from tests.benchmarks import text_peers as peers
from tests.benchmarks.area import ROOT, Case, Turn, Way
from tests.benchmarks.venvs import venv
from tests.benchmarks.worker import worker


def cases(model: Path, kind: str, aim: float, openvino_aim: float, limit: str) -> Sequence[Case]:
    """For one thread and two: the CPU provider with its aim, and OpenVINO's with another, of a work folder that
    `vision_models` built."""
    result_cases = []
    for threads in (1, 2):
        name = f"{model.name}, {threads} thread{'s' if threads > 1 else ''}"
        cpu, openvino_provider, *peer_ways = ways(model, kind, threads)
        for title, way, ratio in ((name, cpu, aim), (f"{name}, OpenVINO provider", openvino_provider, openvino_aim)):
            result_cases.append(Case(title, [way, *peer_ways], "ONNX Runtime fp32", ratio, speedup=True, limit=limit))
    return result_cases


def ways(model: Path, kind: str, threads: int) -> Sequence[Way]:
    fp32, int8 = model / "raw" / "model.onnx", model / "small-main.onnx"
    arguments = (kind, str(threads), model / "picture.jpg")
    return [
        peers.way("Hearth int8", lambda: peers.hearth("picture_hearth", model / "artifact", *arguments)),
        Way("Hearth int8, OpenVINO provider", lambda: hearth_openvino(model / "openvino", *arguments)),
        peers.way("ONNX Runtime fp32", lambda: peers.onnxruntime("picture_onnxruntime", fp32, *arguments)),
        peers.way("OpenVINO fp32", lambda: openvino(fp32, *arguments)),
        peers.way("OpenVINO int8, our file", lambda: openvino(int8, *arguments)),
    ]


def openvino(*arguments: str | Path) -> list[str | Path]:
    python = venv("openvino-pictures", "openvino==2026.4.1", "pillow==13.0.0")
    return [python, peers.ENGINES / "picture_openvino.py", *arguments]


def hearth_openvino(artifact: Path, *arguments: str | Path) -> AbstractContextManager[Turn]:
    """Hearth on the build of ONNX Runtime that has the OpenVINO provider."""
    packages = ("onnxruntime-openvino==1.24.1", "numpy==2.4.6", "pillow==13.0.0", "msgspec==0.22.0")
    command = [venv("openvino-provider", *packages), "-m", "tests.benchmarks.engines.picture_hearth", artifact]
    return worker([*command, *arguments], {"PYTHONPATH": str(ROOT / "layers/runtime/python")})
