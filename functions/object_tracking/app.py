"""object-tracking: what moves where through a video."""

from __future__ import annotations

from hearth.models import preload

preload.start()  # before the imports that take long

from typing import Annotated, Literal

from msgspec import Meta, Struct

from hearth.models.cache import warm
from hearth.aws_lambda.handler import create_handler
from hearth.models.manifest import Detector
from hearth.models.model import Model
from hearth.ops.vision.bytetrack import Rules
from hearth.ops.vision.bytetrack import Track as Tracked
from hearth.tasks.task import Task
from hearth.telemetry.timing import step
from hearth.tasks.tracking import Film, follow, look, mot, show
from hearth.tasks.video_file import Bounds, Stills, Video

MAX_PIXELS = 4_000_000
"""Of a frame, where the manifest says nothing."""
MAX_SECONDS = 600
"""Of a video, likewise."""
MAX_FRAMES = 2_000
"""Frames of one request that are looked at."""


class Parameters(Struct, frozen=True, forbid_unknown_fields=True):
    threshold: Annotated[float, Meta(ge=0, le=1)] = Rules.sure
    """Detections of at least this score, and a little more, begin tracks; weaker ones only continue them."""
    max_age: Annotated[int, Meta(ge=0, le=300)] | None = None
    """Frames of the film that a track outlives unseen; where none is sent, a second of it, or 30 pictures."""
    every: Annotated[int, Meta(ge=1, le=30)] = 1
    """Look at every so many frames."""
    format: Literal["json", "mot"] = "json"
    annotate: bool = False
    """Answer with the video too, tracks drawn in."""
    contact_sheet: bool = False
    """Answer with a picture of a dozen frames too, tracks drawn in."""


class Request(Struct, frozen=True, forbid_unknown_fields=True):
    inputs: bytes | list[bytes]
    """An mp4 file, or encoded pictures as its frames; base64 in JSON."""
    parameters: Parameters = Parameters()


class Box(Struct, frozen=True):
    """In pixels of the frame, upright."""

    xmin: int
    ymin: int
    xmax: int
    ymax: int


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
    """That could be read."""
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


def encode(model: Model, request: Request) -> Film:
    """The frames, of which none is decoded yet but the first. Raises BadRequest, PayloadTooLarge, UnsupportedMedia."""
    limits = model.manifest.limits
    bounds = Bounds(MAX_FRAMES, limits.pixels or MAX_PIXELS, limits.seconds or MAX_SECONDS)
    if isinstance(request.inputs, bytes):
        return Video(request.inputs, bounds, request.parameters.every)
    return Stills(request.inputs, bounds, request.parameters.every)


def decode(model: Model, request: Request, film: Film, outputs: list[Tracked]) -> Response:
    labels, wanted = model.manifest.labels, request.parameters
    video = sheet = None
    if wanted.annotate or wanted.contact_sheet:
        video, sheet = show(film, outputs, labels, video=wanted.annotate, sheet=wanted.contact_sheet)
    as_text = wanted.format == "mot"
    return Response(
        frames=film.read,
        rate=round(float(film.rate), 3),
        width=film.width,
        height=film.height,
        complete=not film.damage,
        reason=film.damage,
        tracks=None if as_text else [_track(one, labels[one.kind], film) for one in outputs],
        mot=mot(outputs, wanted.every) if as_text else None,
        video=video,
        sheet=sheet,
    )


def rules(film: Film, wanted: Parameters) -> Rules:
    """Those of the tracker, whose frames are the ones that are looked at."""
    age = wanted.max_age
    if age is None:  # ByteTrack's 30 frames are of films with 30 a second
        age = Rules.max_age if isinstance(film, Stills) else max(round(film.rate), 1)
    return Rules(sure=wanted.threshold, max_age=-(-age // film.every))


def _track(track: Tracked, label: str, film: Film) -> Track:
    edges = (film.width, film.height) * 2
    sightings = [
        Sighting(
            1 + (sighting.frame - 1) * film.every,
            round(sighting.score, 4),
            Box(*(min(max(round(place), 0), edge) for place, edge in zip(sighting.box, edges, strict=True))),
        )
        for sighting in track.sightings
    ]
    return Track(track.number, label, sightings)


def answer(model: Model, request: Request) -> Response:
    head, wanted = model.manifest.head, request.parameters
    assert isinstance(head, Detector)  # noqa: S101 -- what the manifest's schema promises of the task
    with step("encode"):
        film = encode(model, request)
    outputs = follow(look(model, film, wanted.threshold, head.iou), rules(film, wanted))
    with step("decode"):
        return decode(model, request, film, outputs)


def predict(name: str, request: Request) -> Response:
    with warm().get(name) as model:
        return answer(model, request)


# The example is a red pixel as PNG, twice.
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"
TASKS = (
    Task(
        "object-tracking",
        Request,
        Response,
        predict,
        {"inputs": [PIXEL, PIXEL]},
        binary=True,
        serves=("object-detection",),
    ),
)
handler = create_handler(TASKS)
