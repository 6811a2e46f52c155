"""A detector of bright squares, and films in which they move: the whole path runs with no training data."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from hearth.models.manifest import Detector, Graph, ImagePreprocessing, Limits, Tensor
from tests.support.artifacts import describe_artifact, publish

WIDTH, HEIGHT, SIDE = 96, 64, 16
MODEL = "squares"


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
        helper.make_node("Add", ["nothing", "boxes"], ["places"]),
        helper.make_node("Concat", ["places", "scores"], ["found"], axis=2),
    ]
    weights = {
        "sharpness": np.array(3, np.float32),
        "column": np.array([0, -1, 1], np.int64),
        "zeros": np.zeros(4, np.float32),
        "boxes": boxes,
    }
    count = boxes.shape[1]
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, ("batch", 3, HEIGHT, WIDTH))
    found = helper.make_tensor_value_info("found", TensorProto.FLOAT, ("batch", count, 5))
    constants = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    network = helper.make_graph(nodes, "main", [images], [found], constants)
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
            outputs=(Tensor("found", "float32", ("batch", count, 5)),),
        ),
        preprocessing=ImagePreprocessing(width=WIDTH, height=HEIGHT, resize="stretch", mean=(0, 0, 0), std=(1, 1, 1)),
        head=Detector(form="boxes", iou=0.1),
        labels=("square",),
        limits=limits or Limits(),
    )
    return publish(artifact, manifest)


def frame(*corners: tuple[int, int]) -> NDArray[np.uint8]:
    """White squares on black."""
    picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    for x, y in corners:
        picture[max(y, 0) : y + SIDE, max(x, 0) : x + SIDE] = 255
    return picture


def frames(count: int) -> list[NDArray[np.uint8]]:
    """Two squares: one goes right, one below it goes left."""
    return [frame((2 + n % 60, 4), (78 - n % 60, 40)) for n in range(count)]


def film(pictures: Sequence[NDArray[np.uint8]], *, rate: int = 10, codec: str = "libx264", turn: int = 0) -> bytes:
    """As mp4. A key frame every ten, so that damage does not reach far."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream(codec, rate=rate, options={"g": "10", "preset": "ultrafast", "crf": "10"})
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        if turn:
            stream.set_display_rotation(turn)
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return file.getvalue()


def index_first(mp4: bytes) -> bytes:
    """The same file with its index (`moov`) before the frames, as for streaming: what is cut off then are frames."""
    boxes, at = [], 0
    while at < len(mp4):
        size = int.from_bytes(mp4[at : at + 4], "big")
        boxes.append((mp4[at + 4 : at + 8], mp4[at : at + size]))
        at += size
    (moov,) = (box for kind, box in boxes if kind == b"moov")
    moved, place = bytearray(moov), moov.find(b"stco")
    for entry in range(int.from_bytes(moov[place + 8 : place + 12], "big")):
        where = slice(place + 12 + 4 * entry, place + 16 + 4 * entry)
        moved[where] = (int.from_bytes(moov[where], "big") + len(moov)).to_bytes(4, "big")
    return b"".join([boxes[0][1], bytes(moved), *(box for kind, box in boxes[1:] if kind != b"moov")])


def cut_off(mp4: bytes, part: float) -> bytes:
    """A file with its index first, and of its frames so much."""
    start = mp4.index(b"mdat")
    return mp4[: start + round((len(mp4) - start) * part)]


def png(picture: NDArray[np.uint8]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "PNG")
    return stream.getvalue()
