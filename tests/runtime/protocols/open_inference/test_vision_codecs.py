"""Detections and tracks as tensors."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hearth.errors import BadRequest
from hearth.protocols.open_inference.signatures import codec_of

LABELS = ("cat", "dog")
DETECTIONS, TRACKS = codec_of("object-detection"), codec_of("object-tracking")


def box(*edges: float) -> Any:
    return SimpleNamespace(**dict(zip(("xmin", "ymin", "xmax", "ymax"), edges, strict=True)))


def detection(label: str, score: float, *edges: float) -> Any:
    return SimpleNamespace(label=label, score=score, box=box(*edges))


def test_all_pictures_have_as_many_rows_as_the_fullest() -> None:
    rows = [
        [detection("dog", 0.5, 1, 2, 3, 4), detection("cat", 0.25, 5, 6, 7, 8)],
        SimpleNamespace(boxes=[detection("cat", 0.75, 0, 0, 1, 1)]),
        [],
    ]
    arrays = {output.name: DETECTIONS.to_array(output.name, rows, LABELS) for output in DETECTIONS.outputs(None)}  # type: ignore[arg-type]
    assert arrays["num_dets"].tolist() == [[2], [1], [0]]
    assert arrays["det_boxes"].tolist() == [
        [[1, 2, 3, 4], [5, 6, 7, 8]],
        [[0, 0, 1, 1], [0, 0, 0, 0]],
        [[0, 0, 0, 0], [0, 0, 0, 0]],
    ]
    assert arrays["det_scores"].tolist() == [[0.5, 0.25], [0.75, 0], [0, 0]]
    assert arrays["det_classes"].tolist() == [[1, 0], [0, -1], [-1, -1]]
    types = {"INT32": np.int32, "FP32": np.float32}
    for output in DETECTIONS.outputs(None):  # type: ignore[arg-type]
        array = arrays[output.name]
        assert array.dtype == types[output.datatype]
        assert len(array.shape) == len(output.shape)
        assert all(expected in (-1, size) for expected, size in zip(output.shape, array.shape, strict=True))


def test_pictures_without_detections_have_no_rows() -> None:
    assert DETECTIONS.to_array("det_boxes", [[], []], LABELS).shape == (2, 0, 4)
    assert DETECTIONS.to_array("det_classes", [[]], LABELS).shape == (1, 0)


@pytest.mark.parametrize(("codec", "name"), [(DETECTIONS, "image"), (TRACKS, "video")])
def test_one_file_is_an_input_and_several_are_a_list(codec: Any, name: str) -> None:
    assert codec.binary
    assert codec.inputs == (name,)
    assert codec.documents({name: [b"1"]}, {"x": 1}) == [{"inputs": b"1", "parameters": {"x": 1}}]
    assert codec.documents({name: [b"1", b"2"]}, {}) == [{"inputs": [b"1", b"2"], "parameters": {}}]


def test_a_response_to_one_picture_is_one_item() -> None:
    assert DETECTIONS.items(SimpleNamespace(inputs=b"1"), "response") == ["response"]
    assert DETECTIONS.items(SimpleNamespace(inputs=[b"1", b"2"]), ("a", "b")) == ["a", "b"]


def test_tracks_have_a_row_per_sighting() -> None:
    def sighting(frame: int, score: float, *edges: float) -> Any:
        return SimpleNamespace(frame=frame, score=score, box=box(*edges))

    tracks = [
        SimpleNamespace(id=7, label="dog", sightings=[sighting(1, 0.5, 1, 2, 3, 4), sighting(2, 0.25, 2, 3, 4, 5)]),
        SimpleNamespace(id=9, label="cat", sightings=[sighting(2, 1, 0, 0, 1, 1)]),
    ]
    array = TRACKS.to_array("tracks", [SimpleNamespace(tracks=tracks)], LABELS)
    assert array.dtype == np.float32
    assert array.tolist() == [[1, 7, 1, 2, 3, 4, 0.5, 1], [2, 7, 2, 3, 4, 5, 0.25, 1], [2, 9, 0, 0, 1, 1, 1, 0]]
    assert TRACKS.to_array("tracks", [SimpleNamespace(tracks=[])], LABELS).shape == (0, 8)
    (output,) = TRACKS.outputs(None)  # type: ignore[arg-type]
    assert (output.name, output.datatype, output.shape) == ("tracks", "FP32", (-1, 8))


def test_tracks_in_another_format_have_no_tensor() -> None:
    with pytest.raises(BadRequest, match="`tracks` needs `format` json; with mot, request only the output `response`"):
        TRACKS.to_array("tracks", [SimpleNamespace(tracks=None)], LABELS)
