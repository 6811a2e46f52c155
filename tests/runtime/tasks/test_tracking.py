"""Tracks through frames: progress, and the MOT Challenge's text."""

from __future__ import annotations

import io
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hearth.ops.vision.bytetrack import TrackerConfig
from hearth.tasks import tracking
from hearth.tasks.detection import Detections
from hearth.tasks.tracking import detect_frames, draw_tracks, to_mot, track_objects
from tests.conftest import log_lines


def detections(*boxes: tuple[float, ...]) -> Detections:
    array = np.array(boxes, np.float64).reshape(-1, 4)
    return Detections(array, np.full(len(boxes), 0.9), np.zeros(len(boxes), np.int64))


class Source:
    """A film of white frames."""

    width, height, rate, every = 64, 48, 10, 2

    def __init__(self, frames: int) -> None:
        self.frames_total, self.frames_read = 2 * frames, 2 * frames
        self._frames = frames

    def frames(self) -> Iterator[Any]:
        for number in range(self._frames):
            yield SimpleNamespace(image=Image.new("RGB", (self.width, self.height), "white"), seconds=number / 5)


def test_frames_are_detected_in_batches_with_a_low_threshold(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[int, float, float]] = []

    def detect(model: Any, images: list[Any], threshold: float, iou: float) -> list[Detections]:
        calls.append((len(images), threshold, iou))
        return [detections()] * len(images)

    monkeypatch.setattr(tracking, "detect", detect)
    source: Any = Source(19)
    assert len(list(detect_frames("model", source, 0.6, 0.5))) == 19  # type: ignore[arg-type]
    assert calls == [(8, 0.1, 0.5), (8, 0.1, 0.5), (3, 0.1, 0.5)]
    list(detect_frames("model", source, 0.05, 0.5))  # type: ignore[arg-type]
    assert calls[-1][1] == 0.05


def test_progress_is_logged_now_and_then(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    now = [0.0]
    monkeypatch.setattr(tracking.time, "monotonic", lambda: now[0])

    def detect(model: Any, images: list[Any], *_: float) -> list[Detections]:
        now[0] += 3
        return [detections()] * len(images)

    monkeypatch.setattr(tracking, "detect", detect)
    source: Any = Source(32)
    list(detect_frames("model", source, 0.5, 0.5))  # type: ignore[arg-type]
    assert [(line["frames"], line["of"]) for line in log_lines(capsys) if line["message"] == "progress"] == [
        (16, 32),
        (32, 32),
    ]


def film(frames: int = 4) -> list[tuple[float, Detections]]:
    return [(float(number), detections((2 * number, 10, 2 * number + 20, 30))) for number in range(frames)]


def test_an_object_is_one_track_and_the_text_counts_from_one() -> None:
    tracks = track_objects(film(), TrackerConfig())
    assert len(tracks) == 1
    lines = to_mot(tracks, every=3).splitlines()
    assert [line.split(",")[:2] for line in lines] == [["1", "1"], ["4", "1"], ["7", "1"], ["10", "1"]]
    assert lines[0] == "1,1,1.00,11.00,20.00,20.00,0.9000,-1,-1,-1"
    assert to_mot([]) == ""


def test_the_text_is_ordered_by_frame_and_track() -> None:
    frames = [(float(number), detections((0, 0, 20, 20), (40, 20, 60, 40))) for number in range(3)]
    lines = to_mot(track_objects(frames, TrackerConfig())).splitlines()
    keys = [tuple(map(int, line.split(",")[:2])) for line in lines]
    assert keys == sorted(keys)
    assert len(keys) == 6


@pytest.mark.parametrize(("video", "sheet"), [(False, True), (True, False), (True, True), (False, False)])
def test_tracks_are_drawn_where_they_are_asked_for(video: bool, sheet: bool) -> None:
    tracks, source = track_objects(film(), TrackerConfig()), Source(4)
    mp4, jpeg = draw_tracks(source, tracks, ["cat"], video=video, sheet=sheet)  # type: ignore[arg-type]
    assert (mp4 is not None, jpeg is not None) == (video, sheet)
    if mp4:
        assert mp4[4:8] == b"ftyp"
    if jpeg:
        pixels = np.asarray(Image.open(io.BytesIO(jpeg)))
        assert pixels.shape[1] == 4 * (400 + 4) + 4
        assert (pixels < 100).any()  # something is drawn on the white frames
