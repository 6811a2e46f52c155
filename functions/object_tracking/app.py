"""object-tracking: objects in a video, with labels, ids and boxes in each frame."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from hearth.aws_lambda.handler import create_handler
from hearth.models.preprocessing import MAX_SECONDS
from hearth.ops.vision.bytetrack import Track as TrackedObject
from hearth.ops.vision.bytetrack import TrackerConfig
from hearth.tasks.detection import DetectionModel
from hearth.tasks.schema import Box
from hearth.tasks.task import Prediction, Task, Usage
from hearth.tasks.tracking import FrameSource, detect_frames, draw_tracks, to_mot, track_objects
from hearth.tasks.video_file import Bounds, ImageSequence, Video
from hearth.telemetry.timing import step

MAX_PIXELS = 4_000_000
"""Largest number of pixels of a frame, unless the manifest has a limit."""
MAX_FRAMES = 2_000
"""Largest number of processed frames of a request."""


class Parameters(Struct, frozen=True, forbid_unknown_fields=True):
    threshold: Annotated[float, Meta(ge=0, le=1)] = TrackerConfig.high_score
    """Detections with a score of at least this plus 0.1 begin tracks; lower scores only continue tracks."""
    max_age: Annotated[int, Meta(ge=0, le=300)] | None = None
    """Number of frames without a sighting, at the average rate, after which a track ends; default: one second, or 30
    pictures."""
    every: Annotated[int, Meta(ge=1, le=30)] = 1
    """Process every n-th frame."""
    format: Literal["json", "mot"] = "json"
    annotate: bool = False
    """Whether the response also has the video with the tracks drawn in."""
    contact_sheet: bool = False
    """Whether the response also has a picture of a dozen frames with the tracks drawn in."""


class Request(Struct, frozen=True, forbid_unknown_fields=True):
    inputs: bytes | list[bytes]
    """A film (MP4, WebM, Matroska, AVI, MPEG-TS), or encoded pictures as the frames of a film; base64 in JSON."""
    parameters: Parameters = Parameters()


class Sighting(Struct, frozen=True):
    frame: int
    """Number of the frame in the video, from 1."""
    time: float
    """Seconds since the first frame, from the video's own timestamps."""
    score: float
    """0 in frames without a detection, where the box is interpolated."""
    box: Box


class Track(Struct, frozen=True):
    id: int
    label: str
    sightings: list[Sighting]


class Response(Struct, frozen=True, omit_defaults=True):
    frames: int
    """Number of frames that could be read."""
    rate: float
    """Frames per second, on average."""
    width: int
    height: int
    complete: bool
    """Whether the whole file could be read."""
    reason: str = ""
    """Why the file is not complete."""
    tracks: list[Track] | None = None
    mot: str | None = None
    """In place of `tracks`: one line per box in the MOT Challenge's format."""
    video: bytes | None = None
    """mp4; base64 in JSON."""
    sheet: bytes | None = None
    """JPEG; base64 in JSON."""


def encode(model: DetectionModel, request: Request) -> FrameSource:
    """Open the frames; only the first one is decoded. Raises BadRequest, PayloadTooLarge, UnsupportedMedia."""
    limits = model.manifest.limits
    bounds = Bounds(MAX_FRAMES, limits.pixels or MAX_PIXELS, limits.seconds or MAX_SECONDS)
    if isinstance(request.inputs, bytes):
        return Video(request.inputs, bounds, request.parameters.every)
    return ImageSequence(request.inputs, bounds, request.parameters.every)


def decode(model: DetectionModel, request: Request, source: FrameSource, outputs: list[TrackedObject]) -> Response:
    labels, parameters = model.manifest.labels, request.parameters
    video = sheet = None
    if parameters.annotate or parameters.contact_sheet:
        video, sheet = draw_tracks(source, outputs, labels, video=parameters.annotate, sheet=parameters.contact_sheet)
    is_mot = parameters.format == "mot"
    return Response(
        frames=source.frames_read,
        rate=round(float(source.rate), 3),
        width=source.width,
        height=source.height,
        complete=not source.damage,
        reason=source.damage,
        tracks=None if is_mot else [to_track(track, labels[track.class_id], source) for track in outputs],
        mot=to_mot(outputs, parameters.every) if is_mot else None,
        video=video,
        sheet=sheet,
    )


def tracker_config(source: FrameSource, parameters: Parameters) -> TrackerConfig:
    """The tracker's configuration, in frames that are processed: every `every`-th frame of the video."""
    age = parameters.max_age
    if age is None:  # ByteTrack's 30 frames are one second of its videos
        age = TrackerConfig.max_age if isinstance(source, ImageSequence) else max(round(source.rate), 1)
    return TrackerConfig(high_score=parameters.threshold, max_age=-(-age // source.every))


def to_track(track: TrackedObject, label: str, source: FrameSource) -> Track:
    limits = (source.width, source.height) * 2
    sightings = [
        Sighting(
            1 + (sighting.frame - 1) * source.every,
            round(source.seconds[sighting.frame - 1], 3),
            round(sighting.score, 4),
            Box(
                *(min(max(round(coordinate), 0), limit) for coordinate, limit in zip(sighting.box, limits, strict=True))
            ),
        )
        for sighting in track.sightings
    ]
    return Track(track.id, label, sightings)


def predict(model: DetectionModel, request: Request) -> Prediction:
    parameters = request.parameters
    with step("encode"):
        source = encode(model, request)
    detections = detect_frames(model, source, parameters.threshold, model.head.iou)
    outputs = track_objects(detections, tracker_config(source, parameters), source.every / float(source.rate))
    with step("decode"):
        response = decode(model, request, source, outputs)
    return Prediction(response, Usage())


# The example is a red pixel as PNG, twice.
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"
TASKS = (Task("object-tracking", Request, Response, predict, {"inputs": [PIXEL, PIXEL]}),)
handler = create_handler(TASKS)
