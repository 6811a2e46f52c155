"""A detector of bright squares and videos in which they move, so that the whole path runs without training data."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from hearth.models.heads import Detector
from hearth.models.manifest import Graph, Limits, Tensor
from hearth.models.preprocessing import ImagePreprocessing
from tests.support.artifacts import describe_artifact, publish
from tests.support.scheduling import kept_policy

WIDTH, HEIGHT, SIDE = 96, 64, 16
MODEL = "squares"
MILLISECOND = Fraction(1, 1000)


def make_squares(folder: Path, limits: Limits | None = None) -> Path:
    """Publish the detector: the brightness of each SIDE x SIDE window is the score of its box."""
    artifact = folder / MODEL / "1"
    artifact.mkdir(parents=True)
    rows, columns = np.mgrid[0 : HEIGHT - SIDE + 1, 0 : WIDTH - SIDE + 1] + SIDE / 2
    boxes = np.stack([columns.ravel(), rows.ravel(), *np.full((2, rows.size), SIDE)], 1)[None].astype(np.float32)
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["grey"], axes=[1], keepdims=1),
        helper.make_node("AveragePool", ["grey"], ["bright"], kernel_shape=[SIDE, SIDE]),
        helper.make_node("Pow", ["bright", "sharpness"], ["sharp"]),
        helper.make_node("Reshape", ["sharp", "column"], ["scores"]),
        helper.make_node("Mul", ["scores", "zeros"], ["nothing"]),
        helper.make_node("Add", ["nothing", "boxes"], ["positions"]),
        helper.make_node("Concat", ["positions", "scores"], ["detections"], axis=2),
    ]
    weights = {
        "sharpness": np.array(3, np.float32),
        "column": np.array([0, -1, 1], np.int64),
        "zeros": np.zeros(4, np.float32),
        "boxes": boxes,
    }
    count = boxes.shape[1]
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, ("batch", 3, HEIGHT, WIDTH))
    detections = helper.make_tensor_value_info("detections", TensorProto.FLOAT, ("batch", count, 5))
    constants = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    network = helper.make_graph(nodes, "main", [images], [detections], constants)
    onnx.save(
        helper.make_model(network, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), artifact / "model.onnx"
    )
    manifest = describe_artifact(
        artifact,
        model=MODEL,
        version="1",
        task="object-detection",
        graph=Graph(
            path="model.onnx",
            inputs=(Tensor("images", "float32", ("batch", 3, HEIGHT, WIDTH)),),
            outputs=(Tensor("detections", "float32", ("batch", count, 5)),),
        ),
        preprocessing=ImagePreprocessing(width=WIDTH, height=HEIGHT, resize="stretch", mean=(0, 0, 0), std=(1, 1, 1)),
        head=Detector(form="boxes", iou=0.1),
        labels=("square",),
        limits=limits or Limits(),
    )
    return publish(artifact, manifest)


def frame(*corners: tuple[int, int]) -> NDArray[np.uint8]:
    """Draw white squares on black."""
    picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    for x, y in corners:
        picture[max(y, 0) : y + SIDE, max(x, 0) : x + SIDE] = 255
    return picture


def frames(count: int) -> list[NDArray[np.uint8]]:
    """Draw frames of two squares: one moves right, the one below it moves left."""
    return [frame((2 + n % 60, 4), (78 - n % 60, 40)) for n in range(count)]


def make_video(
    pictures: Sequence[NDArray[np.uint8]],
    *,
    rate: int = 10,
    codec: str = "libx264",
    rotation: int = 0,
    form: str = "mp4",
    times: Sequence[float] | None = None,
) -> bytes:
    """Encode a film with a key frame every ten frames, so that damage does not spread far. Frames are shown at `times`
    in seconds, or at a constant rate."""
    file = io.BytesIO()
    options = {"g": "10", "preset": "10" if codec == "libsvtav1" else "ultrafast", "crf": "10"}
    with kept_policy(), av.open(file, "w", format=form) as container:
        stream = container.add_stream(codec, rate=rate, options=options)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        if codec == "libsvtav1":  # it knows no smaller pictures, and writes much to the log
            os.environ["SVT_LOG"] = "1"
        if rotation:
            stream.set_display_rotation(rotation)
        if times is not None:
            stream.codec_context.time_base = MILLISECOND
        for index, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            if times is not None:
                frame.pts, frame.time_base = round(times[index] * 1000), MILLISECOND
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return file.getvalue()


def index_first(mp4: bytes) -> bytes:
    """Move the file's index (`moov`) before the frames, as for streaming: truncating the result removes only frames."""
    boxes, position = [], 0
    while position < len(mp4):
        size = int.from_bytes(mp4[position : position + 4], "big")
        boxes.append((mp4[position + 4 : position + 8], mp4[position : position + size]))
        position += size
    (moov,) = (box for kind, box in boxes if kind == b"moov")
    new_moov, table = bytearray(moov), moov.find(b"stco")
    for entry in range(int.from_bytes(moov[table + 8 : table + 12], "big")):
        offset = slice(table + 12 + 4 * entry, table + 16 + 4 * entry)
        new_moov[offset] = (int.from_bytes(moov[offset], "big") + len(moov)).to_bytes(4, "big")
    return b"".join([boxes[0][1], bytes(new_moov), *(box for kind, box in boxes[1:] if kind != b"moov")])


def cut_off(mp4: bytes, share: float) -> bytes:
    """Truncate a file whose index comes first so that it keeps a `share` of its frames."""
    start = mp4.index(b"mdat")
    return mp4[: start + round((len(mp4) - start) * share)]


def png(picture: NDArray[np.uint8]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "PNG")
    return stream.getvalue()
