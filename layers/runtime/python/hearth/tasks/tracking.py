"""Films through a detector: tracks, and how they are drawn and written down."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import islice

from PIL.Image import Image

from hearth.ops.vision.bytetrack import Box, Sighting, Track, Tracker, TrackerConfig
from hearth.ops.vision.contact_sheet import contact_sheet, sheet_frames, thumbnail
from hearth.ops.vision.drawing import draw_boxes, to_jpeg
from hearth.tasks.detection import BATCH, DetectionModel, Detections, detect
from hearth.tasks.video_file import ImageSequence, Video, write_video
from hearth.telemetry.log import logger
from hearth.telemetry.timing import step

Film = Video | ImageSequence

MIN_SCORE = 0.1
"""Least score of a detection that continues a track (ByteTrack's)."""
PROGRESS_SECONDS = 5.0
"""Between two log lines of how far a film is."""
VIDEO_BYTES = 3_000_000
"""About the largest size of an annotated video: with base64 it must fit into Lambda's 6 MB."""
VIDEO_BITS = 2_000_000
"""About the most bits of a second of it."""


def detect_frames(model: DetectionModel, film: Film, threshold: float, iou: float) -> Iterator[Detections]:
    """The detections of each frame that is looked at; a few frames at a time are in memory."""
    frames, done, logged = film.frames(), 0, time.monotonic()
    while True:
        with step("frames"):
            images = [frame.image for frame in islice(frames, BATCH)]
        if not images:
            return
        with step("run"):
            detections = detect(model, images, min(threshold, MIN_SCORE), iou)
        yield from detections
        done += len(detections)
        if time.monotonic() - logged > PROGRESS_SECONDS:
            logged = time.monotonic()
            logger().info("progress", extra={"frames": done, "of": -(-film.frames_total // film.every) or None})


def track_objects(detections: Iterable[Detections], config: TrackerConfig) -> list[Track]:
    """The tracks through frames one after another; sightings count the frames that were looked at, from 1."""
    tracker = Tracker(config)
    for frame in detections:
        with step("track"):
            tracker.update(frame.boxes, frame.scores, frame.classes)
    return tracker.tracks


def to_mot(tracks: Sequence[Track], every: int = 1) -> str:
    """The MOT Challenge's text: frame, id, left, top, width, height, score, and three numbers that mean nothing.

    Frames and pixels count from 1 there.
    """
    rows = [(1 + (sighting.frame - 1) * every, track.id, sighting) for track in tracks for sighting in track.sightings]
    lines = []
    for frame, number, sighting in sorted(rows, key=lambda row: row[:2]):
        left, top, right, bottom = sighting.box
        box = f"{left + 1:.2f},{top + 1:.2f},{right - left:.2f},{bottom - top:.2f}"
        lines.append(f"{frame},{number},{box},{sighting.score:.4f},-1,-1,-1\n")
    return "".join(lines)


def _clipped(box: Box, film: Film) -> Box:
    left, top, right, bottom = box
    return max(left, 0), max(top, 0), min(right, film.width - 1), min(bottom, film.height - 1)


def draw_tracks(
    film: Film, tracks: Sequence[Track], labels: Sequence[str], *, video: bool, sheet: bool
) -> tuple[bytes | None, bytes | None]:
    """The frames with the tracks drawn in, as mp4, and some of them as a contact sheet (JPEG), as asked for."""
    by_frame: dict[int, list[tuple[Track, Sighting]]] = defaultdict(list)
    for track in tracks:
        for sighting in track.sightings:
            by_frame[sighting.frame].append((track, sighting))
    count = -(-film.frames_read // film.every)
    shown = set(sheet_frames(count)) if sheet else set()
    tiles: list[Image] = []

    def drawn_frames() -> Iterator[Image]:
        for place, frame in enumerate(film.frames(), 1):
            if video or place in shown:
                sightings = by_frame[place]
                captions = [f"{track.id} {labels[track.class_id]}" for track, _ in sightings]
                boxes = [_clipped(sighting.box, film) for _, sighting in sightings]
                draw_boxes(frame.image, boxes, captions, [track.id for track, _ in sightings])
            if place in shown:
                tiles.append(thumbnail(frame.image))
            yield frame.image

    rate = Fraction(film.rate) / film.every
    encoded = None
    if video:
        bits = min(VIDEO_BITS, int(VIDEO_BYTES * 8 * rate / max(count, 1)))
        encoded = write_video(drawn_frames(), (film.width, film.height), rate, bits)
    else:
        for _ in drawn_frames():
            pass
    return encoded, to_jpeg(contact_sheet(tiles)) if sheet else None
