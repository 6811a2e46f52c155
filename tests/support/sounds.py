"""A speech model that reads tones as letters, and recordings of words for it.

Each letter is a tone in the middle of its own mel band. The letter's logit is the log power of that band; the blank's
is a constant between silence and a tone. It is a real graph with a stride of two, built in milliseconds.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import onnx
import soundfile
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from hearth.models.heads import Ctc
from hearth.models.manifest import Graph, Limits, Tensor
from hearth.models.preprocessing import AudioPreprocessing
from hearth.ops.audio.log_mel import filterbank
from tests.support.artifacts import describe_artifact, publish

LABELS = (*" abcdefg", "")
BLANK = len(LABELS) - 1
RATE = 8000
PREPROCESSING = AudioPreprocessing(
    rate=RATE, window=200, hop=80, fft=256, mels=40, low=60.0, high=3900.0, normalise="none"
)
BANDS = range(8, 8 + 4 * BLANK, 4)
"""The mel band of each label except the blank."""
TONE, PAUSE = 0.06, 0.06
"""Duration of each letter and of the silence after it, in seconds."""


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
    """Publish the model into the store at `folder`, with a language model if `arpa` is given."""
    artifact = folder / model / "1"
    artifact.mkdir(parents=True)
    weights = np.zeros((PREPROCESSING.mels, len(LABELS)), np.float32)  # (mels, labels)
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
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ("batch", "frames", PREPROCESSING.mels))],
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
            inputs=(Tensor("features", "float32", ("batch", "frames", PREPROCESSING.mels)),),
            outputs=(Tensor("logits", "float32", ("batch", "steps", len(LABELS))),),
        ),
        preprocessing=PREPROCESSING,
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
    """Return the frequency in the middle of the label's band, in hertz."""
    filters = filterbank(PREPROCESSING.mels, 8192, RATE, PREPROCESSING.low, PREPROCESSING.high)
    return float(filters[:, BANDS[LABELS.index(label)]].argmax() * RATE / 8192)


def synthesize(text: str, rate: int = RATE, level: float = 0.3) -> NDArray[np.float32]:
    """Return `text` as tones, each followed by a pause; letter n starts at n * (TONE + PAUSE) seconds."""
    times = np.arange(round(TONE * rate)) / rate
    envelope = np.sin(np.pi * times / TONE) ** 0.5
    parts = []
    for letter in text:
        parts += [level * envelope * np.sin(2 * np.pi * tone_of(letter) * times), np.zeros(round(PAUSE * rate))]
    return np.concatenate(parts).astype(np.float32)


def encode_audio(
    sound: NDArray[np.floating], rate: int = RATE, format: str = "WAV", subtype: str | None = None
) -> bytes:
    """Encode (samples,) or (samples, channels) as a file."""
    stream = io.BytesIO()
    soundfile.write(stream, sound, rate, subtype, format=format)
    return stream.getvalue()
