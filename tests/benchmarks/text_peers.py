"""The text models in the formats of the peers, built once from the checkpoint, and a way for each engine's process.

Converted files are written beside the checkpoint. All functions raise Missing if the peer's tools are not available.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.benchmarks import genai_graph
from tests.benchmarks.area import Missing, Way
from tests.benchmarks.text_models import build_once
from tests.benchmarks.venvs import venv
from tests.benchmarks.worker import worker

ENGINES = Path(__file__).parent / "engines"
TOKENIZERS = "tokenizers==0.22.2"


def way(name: str, command: Callable[[], Sequence[str | Path]]) -> Way:
    """An engine in a process. `command` is called when the way is opened, and builds what the engine needs."""
    return Way(name, lambda: worker(command()))


def hearth(script: str, *arguments: str | Path) -> list[str | Path]:
    return [sys.executable, "-m", f"tests.benchmarks.engines.{script}", *arguments]


def onnxruntime(script: str, *arguments: str | Path) -> list[str | Path]:
    """The version that Hearth uses, in our own environment."""
    return [sys.executable, ENGINES / f"{script}.py", *arguments]


def ctranslate2(script: str, checkpoint: Path, *arguments: str | Path) -> list[str | Path]:
    python = venv("ctranslate2", "ctranslate2==4.8.5", TOKENIZERS)
    return [python, ENGINES / f"{script}.py", converted(checkpoint), *arguments]


def transformers(script: str, *arguments: str | Path) -> list[str | Path]:
    return [tools(), ENGINES / f"{script}.py", *arguments]


def openvino(script: str, *arguments: str | Path) -> list[str | Path]:
    return [venv("openvino", "openvino==2026.4.1", TOKENIZERS), ENGINES / f"{script}.py", *arguments]


def llamacpp(script: str, checkpoint: Path, kind: str, *arguments: str | Path) -> list[str | Path]:
    """`kind`: q8_0 or q4_0."""
    python = venv(
        "llamacpp", "xllamacpp==2026.10.11549", "gguf==0.19.0", "safetensors==0.8.0", TOKENIZERS
    )  # it has wheels; llama-cpp-python compiles for ten minutes
    folder = build_once(
        checkpoint.with_name(f"llamacpp-{kind}"),
        lambda folder: run(python, ENGINES / "make_gguf.py", checkpoint, kind, folder / "model.gguf"),
    )
    return [python, ENGINES / f"{script}.py", folder / "model.gguf", *arguments]


def genai(script: str, artifact: Path, *arguments: str | Path) -> list[str | Path]:
    """Use the same graph and weights that we serve."""
    folder = build_once(artifact.with_name("genai"), lambda folder: genai_graph.write(artifact, folder))
    return [venv("genai", "onnxruntime-genai==0.18.0", TOKENIZERS), ENGINES / f"{script}.py", folder, *arguments]


def tools() -> Path:
    """The Python that has transformers and the converters of checkpoints."""
    return venv(
        "transformers", "torch==2.13.0", "optimum==2.1.0", "optimum-onnx[onnxruntime]==0.1.0", "ctranslate2==4.8.5"
    )


def converted(checkpoint: Path) -> Path:
    """CTranslate2's folder, its weights in int8."""
    return build_once(
        checkpoint.with_name("ctranslate2"),
        lambda folder: run(
            tools().with_name("ct2-transformers-converter"),
            *("--model", checkpoint, "--output_dir", folder, "--quantization", "int8", "--force"),
        ),
    )


def with_cache(checkpoint: Path) -> Path:
    """optimum's ONNX file of a decoder with keys and values as inputs and outputs."""
    folder = build_once(
        checkpoint.with_name("optimum"),
        lambda folder: run(
            tools().with_name("optimum-cli"),
            *("export", "onnx", "--model", checkpoint, "--task", "text-generation-with-past", folder),
        ),
    )
    return folder / "model.onnx"


def exported(checkpoint: Path) -> Path:
    """torch's ONNX file of transformers' classifier in fp32."""

    def export(folder: Path) -> None:
        import torch
        from transformers import AutoModelForSequenceClassification

        network = AutoModelForSequenceClassification.from_pretrained(checkpoint, attn_implementation="eager").eval()
        example = torch.ones((1, 8), dtype=torch.int64)
        names = ("input_ids", "attention_mask")
        torch.onnx.export(
            network,
            (example, example),
            folder / "model.onnx",
            input_names=list(names),
            output_names=["logits"],
            dynamic_axes={name: {0: "batch", 1: "sequence"} for name in names},
            opset_version=17,
            dynamo=False,
        )

    return build_once(checkpoint.with_name("exported"), export) / "model.onnx"


def calibrated(checkpoint: Path) -> Path:
    """`exported` in static int8 (QDQ, both sides signed: the form that OpenVINO runs fastest), its ranges calibrated on
    random tokens."""

    def quantize(folder: Path) -> None:
        import numpy as np
        from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

        class Feeds(CalibrationDataReader):
            remaining = 4

            def get_next(self) -> dict[str, np.ndarray] | None:
                self.remaining -= 1
                if self.remaining < 0:
                    return None
                ids = np.random.default_rng(self.remaining).integers(5, 30_000, (1, 64))
                return {"input_ids": ids, "attention_mask": np.ones_like(ids)}

        quantize_static(
            exported(checkpoint),
            folder / "model.onnx",
            Feeds(),
            activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            op_types_to_quantize=["MatMul"],
            extra_options={"ActivationSymmetric": True},
        )

    return build_once(checkpoint.with_name("calibrated"), quantize) / "model.onnx"


def run(*command: str | Path) -> None:
    process = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if process.returncode:
        raise Missing(f"{Path(command[0]).name} failed: {process.stderr.strip().splitlines()[-1][:200]}")
