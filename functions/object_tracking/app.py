"""object-tracking: what moves where through a video."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from hearth.aws_lambda.handler import create_handler
from hearth.ops.vision.bytetrack import Track as TrackedObject
from hearth.ops.vision.bytetrack import TrackerConfig
from hearth.tasks.detection import DetectionModel
from hearth.tasks.schema import Box
from hearth.tasks.task import Prediction, Task, Usage
from hearth.tasks.tracking import Film, detect_frames, draw_tracks, to_mot, track_objects
from hearth.tasks.video_file import Bounds, ImageSequence, Video
from hearth.telemetry.timing import step

MAX_PIXELS = 4_000_000
"""Of a frame, where the manifest says nothing."""
MAX_SECONDS = 600
"""Of a video, where the manifest says nothing."""
MAX_FRAMES = 2_000
"""Frames of one request that are looked at."""


class Parameters(Struct, frozen=True, forbid_unknown_fields=True):
    threshold: Annotated[float, Meta(ge=0, le=1)] = TrackerConfig.high_score
    """Detections of at least this score, and a little more, begin tracks; weaker ones only continue them."""
    max_age: Annotated[int, Meta(ge=0, le=300)] | None = None
    """Frames of the film that a track outlives unseen; unset: a second of it, or 30 pictures."""
    every: Annotated[int, Meta(ge=1, le=30)] = 1
    """Look at one frame of so many."""
    format: Literal["json", "mot"] = "json"
    annotate: bool = False
    """Answer with the video too, tracks drawn in."""
    contact_sheet: bool = False
    """Answer with a picture of a dozen frames too, tracks drawn in."""


class Request(Struct, frozen=True, forbid_unknown_fields=True):
    inputs: bytes | list[bytes]
    """An mp4 file, or encoded pictures as its frames; base64 in JSON."""
    parameters: Parameters = Parameters()


class Sighting(Struct, frozen=True):
    frame: int
    """From 1, of all frames."""
    score: float
    """0 where the object was hidden and its box lies between two that were seen."""
    box: Box


class Track(Struct, frozen=True):
    id: int
    label: str
    sightings: list[Sighting]


class Response(Struct, frozen=True, omit_defaults=True):
    frames: int
    """How many could be read."""
    rate: float
    """Frames a second."""
    width: int
    height: int
    complete: bool
    """Whether the whole file could be read."""
    reason: str = ""
    """Why not."""
    tracks: list[Track] | None = None
    mot: str | None = None
    """In place of `tracks`: a line a box, as the MOT Challenge writes them."""
    video: bytes | None = None
    """mp4; base64 in JSON."""
    sheet: bytes | None = None
    """JPEG; base64 in JSON."""


def encode(model: DetectionModel, request: Request) -> Film:
    """The frames, of which none is decoded yet but the first. Raises BadRequest, PayloadTooLarge, UnsupportedMedia."""
    limits = model.manifest.limits
    bounds = Bounds(MAX_FRAMES, limits.pixels or MAX_PIXELS, limits.seconds or MAX_SECONDS)
    if isinstance(request.inputs, bytes):
        return Video(request.inputs, bounds, request.parameters.every)
    return ImageSequence(request.inputs, bounds, request.parameters.every)


def decode(model: DetectionModel, request: Request, film: Film, outputs: list[TrackedObject]) -> Response:
    labels, parameters = model.manifest.labels, request.parameters
    video = sheet = None
    if parameters.annotate or parameters.contact_sheet:
        video, sheet = draw_tracks(film, outputs, labels, video=parameters.annotate, sheet=parameters.contact_sheet)
    as_text = parameters.format == "mot"
    return Response(
        frames=film.frames_read,
        rate=round(float(film.rate), 3),
        width=film.width,
        height=film.height,
        complete=not film.damage,
        reason=film.damage,
        tracks=None if as_text else [to_track(track, labels[track.class_id], film) for track in outputs],
        mot=to_mot(outputs, parameters.every) if as_text else None,
        video=video,
        sheet=sheet,
    )


def tracker_config(film: Film, parameters: Parameters) -> TrackerConfig:
    """The tracker's configuration, in frames that are processed: every `every`-th frame of the video."""
    age = parameters.max_age
    if age is None:  # ByteTrack's 30 frames are of films with 30 a second
        age = TrackerConfig.max_age if isinstance(film, ImageSequence) else max(round(film.rate), 1)
    return TrackerConfig(high_score=parameters.threshold, max_age=-(-age // film.every))


def to_track(track: TrackedObject, label: str, film: Film) -> Track:
    edges = (film.width, film.height) * 2
    sightings = [
        Sighting(
            1 + (sighting.frame - 1) * film.every,
            round(sighting.score, 4),
            Box(*(min(max(round(place), 0), edge) for place, edge in zip(sighting.box, edges, strict=True))),
        )
        for sighting in track.sightings
    ]
    return Track(track.id, label, sightings)


def predict(model: DetectionModel, request: Request) -> Prediction:
    parameters = request.parameters
    with step("encode"):
        film = encode(model, request)
    detections = detect_frames(model, film, parameters.threshold, model.head.iou)
    outputs = track_objects(detections, tracker_config(film, parameters))
    with step("decode"):
        response = decode(model, request, film, outputs)
    return Prediction(response, Usage())


# The example is a red pixel as PNG, twice.
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"
TASKS = (Task("object-tracking", Request, Response, predict, {"inputs": [PIXEL, PIXEL]}),)
handler = create_handler(TASKS)
