"""A model that hears tones as letters, and sounds of words for it.

Each letter is the tone in the middle of a mel band of its own; its logit is that band's log power, and the blank's is a
constant between silence and a tone. A real graph with a stride of two, made in milliseconds.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import onnx
import soundfile
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from hearth.models.manifest import AudioPreprocessing, Ctc, Graph, Limits, Tensor
from hearth.ops.audio.log_mel import filterbank
from tests.support.artifacts import describe_artifact, publish

LABELS = (*" abcdefg", "")
BLANK = len(LABELS) - 1
RATE = 8000
HOW = AudioPreprocessing(rate=RATE, window=200, hop=80, fft=256, mels=40, low=60.0, high=3900.0, normalise="none")
BANDS = range(8, 8 + 4 * BLANK, 4)
"""Of each label but the blank."""
TONE, PAUSE = 0.06, 0.06
"""Seconds of each letter, and of the silence after it."""


def make_sound_artifact(
    folder: Path,
    model: str = "tones",
    *,
    chunk_seconds: float = 20.0,
    margin_seconds: float = 0.0,
    seconds: int = 120,
    arpa: str = "",
    beams: int = 1,
) -> Path:
    """Publish the model into the store at `folder`, with a language model if one is given."""
    artifact = folder / model / "1"
    artifact.mkdir(parents=True)
    weights = np.zeros((HOW.mels, len(LABELS)), np.float32)  # (mels, labels)
    weights[BANDS, range(BLANK)] = 1
    bias = np.where(np.arange(len(LABELS)) == BLANK, -2, 0).astype(np.float32)
    nodes = [
        helper.make_node("Slice", ["features", "first", "end", "axis", "step"], ["every_other"]),
        helper.make_node("MatMul", ["every_other", "weights"], ["powers"]),
        helper.make_node("Add", ["powers", "bias"], ["scores"]),
        helper.make_node("LogSoftmax", ["scores"], ["logits"], axis=2),
    ]
    numbers = {"first": 0, "end": 2**31 - 1, "axis": 1, "step": 2}
    initializers = [numpy_helper.from_array(np.array([value]), name) for name, value in numbers.items()]
    initializers += [numpy_helper.from_array(weights, "weights"), numpy_helper.from_array(bias, "bias")]
    network = helper.make_graph(
        nodes,
        "main",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ("batch", "frames", HOW.mels))],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ("batch", "steps", len(LABELS)))],
        initializers,
    )
    proto = helper.make_model(network, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    onnx.checker.check_model(proto, full_check=True)
    onnx.save_model(proto, artifact / "model.onnx")
    if arpa:
        (artifact / "letters.arpa").write_text(arpa, encoding="utf-8")
    manifest = describe_artifact(
        artifact,
        model=model,
        version="1",
        task="automatic-speech-recognition",
        graph=Graph(
            path="model.onnx",
            inputs=(Tensor("features", "float32", ("batch", "frames", HOW.mels)),),
            outputs=(Tensor("logits", "float32", ("batch", "steps", len(LABELS))),),
        ),
        preprocessing=HOW,
        head=Ctc(
            blank=BLANK,
            stride=2,
            chunk_seconds=chunk_seconds,
            margin_seconds=margin_seconds,
            beams=beams,
            language_model="letters.arpa" if arpa else None,
            language_weight=1.0,
        ),
        resources=("letters.arpa",) if arpa else (),
        labels=LABELS,
        limits=Limits(seconds=seconds),
    )
    return publish(artifact, manifest)


def tone_of(label: str) -> float:
    """Hz: the middle of the label's band."""
    filters = filterbank(HOW.mels, 8192, RATE, HOW.low, HOW.high)
    return float(filters[:, BANDS[LABELS.index(label)]].argmax() * RATE / 8192)


def spoken(text: str, rate: int = RATE, level: float = 0.3) -> NDArray[np.float32]:
    """`text` in tones, each followed by a pause; letter n begins at n * (TONE + PAUSE) seconds."""
    moments = np.arange(round(TONE * rate)) / rate
    swell = np.sin(np.pi * moments / TONE) ** 0.5
    parts = []
    for letter in text:
        parts += [level * swell * np.sin(2 * np.pi * tone_of(letter) * moments), np.zeros(round(PAUSE * rate))]
    return np.concatenate(parts).astype(np.float32)


def file_of(sound: NDArray[np.floating], rate: int = RATE, form: str = "WAV", subtype: str | None = None) -> bytes:
    """An encoded file of (samples,) or (samples, channels)."""
    stream = io.BytesIO()
    soundfile.write(stream, sound, rate, subtype, format=form)
    return stream.getvalue()
