"""Tracks objects through videos, and writes tracks as MOT text, annotated video or contact sheet."""

from __future__ import annotations

import functools
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import islice

import msgspec
import numpy as np
from PIL.Image import Image

from hearth.ops.vision.bytetrack import Box, Sighting, Track, Tracker, TrackerConfig
from hearth.ops.vision.contact_sheet import contact_sheet, sheet_frames, thumbnail
from hearth.ops.vision.drawing import draw_boxes, to_jpeg
from hearth.tasks import checkpoint
from hearth.tasks.detection import BATCH, DetectionModel, Detections, detect
from hearth.tasks.video_file import ImageSequence, Video, write_video
from hearth.telemetry.log import logger
from hearth.telemetry.timing import step

FrameSource = Video | ImageSequence

MIN_SCORE = 0.1
"""Smallest score of a detection that continues a track (as in ByteTrack)."""
PROGRESS_SECONDS = 5.0
"""Time between two log lines of progress."""
VIDEO_BYTES = 3_000_000
"""Approximate largest size of an annotated video: in base64 it must fit into Lambda's 6 MB."""
VIDEO_BITS = 2_000_000
"""Approximate largest bit rate of an annotated video, per second."""


def detect_frames(
    model: DetectionModel, source: FrameSource, threshold: float, iou: float
) -> Iterator[tuple[float, Detections]]:
    """The time in seconds and the detections of each processed frame; only a few frames are in memory at a time.

    Frames of an earlier attempt, by its checkpoint, are decoded again, but nothing is detected in them.
    """
    attempt, logged = checkpoint.current(), time.monotonic()
    total = -(-source.frames_total // source.every)
    scope, done = "", list[tuple[float, Detections]]()
    if attempt:
        scope = f"{model.manifest.model}@{model.manifest.version} {threshold} {iou} {source.every}"
        done = _restore(attempt.load(scope))
    processed = len(done)
    yield from done
    frames = islice(source.frames(), processed, None)
    while True:
        with step("frames"):
            batch = list(islice(frames, BATCH))
        if not batch:
            return
        with step("run"):
            detections = detect(model, [frame.image for frame in batch], min(threshold, MIN_SCORE), iou)
        found = list(zip([frame.seconds for frame in batch], detections, strict=True))
        yield from found
        processed += len(detections)
        if attempt:
            done += found
            attempt.save(scope, functools.partial(_state, done), checkpoint.Progress(processed, total))
        if time.monotonic() - logged > PROGRESS_SECONDS:
            logged = time.monotonic()
            logger().info("progress", extra={"frames": processed, "of": total or None})


def _state(frames: Sequence[tuple[float, Detections]]) -> bytes:
    """Detections as they are kept in a checkpoint."""
    rows = [
        (seconds, [(array.dtype.str, array.shape, array.tobytes()) for array in found]) for seconds, found in frames
    ]
    return msgspec.msgpack.encode(rows)


def _restore(state: bytes) -> list[tuple[float, Detections]]:
    """The detections of a checkpoint; none of an empty one."""
    rows = msgspec.msgpack.decode(state) if state else []
    return [
        (seconds, Detections(*(np.frombuffer(data, dtype).reshape(shape).copy() for dtype, shape, data in arrays)))
        for seconds, arrays in rows
    ]


def track_objects(
    frames: Iterable[tuple[float, Detections]], config: TrackerConfig, interval: float = 1.0
) -> list[Track]:
    """The tracks through frames at their times; sightings have the numbers of the processed frames, from 1. `interval`
    is the usual time between two frames, for which the tracker's configuration is made."""
    tracker, last = Tracker(config), -interval
    for seconds, frame in frames:
        with step("track"):
            elapsed = round((seconds - last) / interval, 3)
            tracker.update(frame.boxes, frame.scores, frame.classes, elapsed)
        last = seconds
    return tracker.tracks


def to_mot(tracks: Sequence[Track], every: int = 1) -> str:
    """The MOT Challenge's text format: frame, id, left, top, width, height, score, and three unused numbers.

    Frames and pixels count from 1.
    """
    rows = [(1 + (sighting.frame - 1) * every, track.id, sighting) for track in tracks for sighting in track.sightings]
    lines = []
    for frame, track_id, sighting in sorted(rows, key=lambda row: row[:2]):
        left, top, right, bottom = sighting.box
        box = f"{left + 1:.2f},{top + 1:.2f},{right - left:.2f},{bottom - top:.2f}"
        lines.append(f"{frame},{track_id},{box},{sighting.score:.4f},-1,-1,-1\n")
    return "".join(lines)


def _clipped(box: Box, source: FrameSource) -> Box:
    left, top, right, bottom = box
    return max(left, 0), max(top, 0), min(right, source.width - 1), min(bottom, source.height - 1)


def draw_tracks(
    source: FrameSource, tracks: Sequence[Track], labels: Sequence[str], *, video: bool, sheet: bool
) -> tuple[bytes | None, bytes | None]:
    """Draw the tracks into the frames: a video (mp4) if `video`, and a contact sheet (JPEG) if `sheet`."""
    by_frame: dict[int, list[tuple[Track, Sighting]]] = defaultdict(list)
    for track in tracks:
        for sighting in track.sightings:
            by_frame[sighting.frame].append((track, sighting))
    count = -(-source.frames_read // source.every)
    sheet_numbers = set(sheet_frames(count)) if sheet else set()
    tiles: list[Image] = []

    def drawn_frames() -> Iterator[tuple[float, Image]]:
        for number, frame in enumerate(source.frames(), 1):
            if video or number in sheet_numbers:
                sightings = by_frame[number]
                captions = [f"{track.id} {labels[track.class_id]}" for track, _ in sightings]
                boxes = [_clipped(sighting.box, source) for _, sighting in sightings]
                draw_boxes(frame.image, boxes, captions, [track.id for track, _ in sightings])
            if number in sheet_numbers:
                tiles.append(thumbnail(frame.image))
            yield frame.seconds, frame.image

    rate = Fraction(source.rate) / source.every
    mp4 = None
    if video:
        bits = min(VIDEO_BITS, int(VIDEO_BYTES * 8 * rate / max(count, 1)))
        mp4 = write_video(drawn_frames(), (source.width, source.height), rate, bits)
    else:
        for _ in drawn_frames():
            pass
    return mp4, to_jpeg(contact_sheet(tiles)) if sheet else None
