"""Films through a detector: tracks, and how they are shown and written down."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import islice

from PIL.Image import Image

from hearth.models.model import Model
from hearth.ops.vision.bytetrack import Box, Rules, Sighting, Track, Tracker
from hearth.ops.vision.contact_sheet import contact_sheet, moments, small
from hearth.ops.vision.drawing import draw_boxes, to_jpeg
from hearth.tasks.detection import TOGETHER, Detections, detect
from hearth.tasks.video_file import Stills, Video, write_video
from hearth.telemetry.timing import step

Film = Video | Stills

UNSURE = 0.1
"""Least score of a detection that continues a track (ByteTrack's)."""
PROGRESS = 5.0
"""Seconds between two log lines of how far a film is."""
VIDEO_BYTES = 3_000_000
"""About the most that an annotated video takes: with base64 it must go through Lambda's 6 MB."""
VIDEO_BITS = 2_000_000
"""The same of a second."""


def look(model: Model, film: Film, threshold: float, iou: float) -> Iterator[Detections]:
    """What the detector sees in each frame that is looked at; a few frames at a time are in memory."""
    frames, done, spoke = film.frames(), 0, time.monotonic()
    while True:
        with step("frames"):
            pictures = [frame.picture for frame in islice(frames, TOGETHER)]
        if not pictures:
            return
        with step("run"):
            found = detect(model, pictures, min(threshold, UNSURE), iou)
        yield from found
        done += len(found)
        if time.monotonic() - spoke > PROGRESS:
            spoke = time.monotonic()
            _tell(done, -(-film.total // film.every))


def _tell(frames: int, of: int) -> None:
    from hearth.telemetry.log import logger  # brings botocore, which a cold start does without

    logger().info("progress", extra={"frames": frames, "of": of or None})


def follow(found: Iterable[Detections], rules: Rules) -> list[Track]:
    """The tracks through frames one after another; sightings count the frames that were looked at, from 1."""
    tracker = Tracker(rules)
    for seen in found:
        with step("track"):
            tracker.update(seen.boxes, seen.scores, seen.classes)
    return tracker.tracks


def mot(tracks: Sequence[Track], every: int = 1) -> str:
    """The MOT Challenge's text: frame, id, left, top, width, height, score, and three numbers that mean nothing.

    Frames and pixels count from 1 there.
    """
    rows = [
        (1 + (sighting.frame - 1) * every, track.number, sighting) for track in tracks for sighting in track.sightings
    ]
    lines = []
    for frame, number, sighting in sorted(rows, key=lambda row: row[:2]):
        left, top, right, bottom = sighting.box
        box = f"{left + 1:.2f},{top + 1:.2f},{right - left:.2f},{bottom - top:.2f}"
        lines.append(f"{frame},{number},{box},{sighting.score:.4f},-1,-1,-1\n")
    return "".join(lines)


def _inside(box: Box, film: Film) -> Box:
    left, top, right, bottom = box
    return max(left, 0), max(top, 0), min(right, film.width - 1), min(bottom, film.height - 1)


def show(
    film: Film, tracks: Sequence[Track], labels: Sequence[str], *, video: bool, sheet: bool
) -> tuple[bytes | None, bytes | None]:
    """The frames with the tracks drawn in, as mp4, and some of them as a contact sheet (JPEG), where wanted."""
    by_frame: dict[int, list[tuple[Track, Sighting]]] = defaultdict(list)
    for track in tracks:
        for sighting in track.sightings:
            by_frame[sighting.frame].append((track, sighting))
    count = -(-film.read // film.every)
    shown = set(moments(count)) if sheet else set()
    tiles: list[Image] = []

    def drawn() -> Iterator[Image]:
        for place, frame in enumerate(film.frames(), 1):
            if video or place in shown:
                seen = by_frame[place]
                captions = [f"{track.number} {labels[track.kind]}" for track, _ in seen]
                boxes = [_inside(sighting.box, film) for _, sighting in seen]
                draw_boxes(frame.picture, boxes, captions, [track.number for track, _ in seen])
            if place in shown:
                tiles.append(small(frame.picture))
            yield frame.picture

    rate = Fraction(film.rate) / film.every
    written = None
    if video:
        bits = min(VIDEO_BITS, int(VIDEO_BYTES * 8 * rate / max(count, 1)))
        written = write_video(drawn(), (film.width, film.height), rate, bits)
    else:
        for _ in drawn():
            pass
    return written, to_jpeg(contact_sheet(tiles)) if sheet else None
