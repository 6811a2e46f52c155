"""object-tracking: tracks of objects in videos and lists of pictures."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import av
import motmetrics
import numpy as np
import pytest
from PIL import Image

from hearth.errors import BadRequest, HearthError, PayloadTooLarge, UnsupportedMedia
from hearth.models.manifest import Limits
from hearth_functions.object_tracking import app
from tests.functions.films import (
    HEIGHT,
    MODEL,
    SIDE,
    WIDTH,
    cut_off,
    frame,
    frames,
    index_first,
    make_squares,
    make_video,
    png,
)
from tests.support.asking import predict as ask_task
from tests.support.requests import rest_event


@pytest.fixture
def squares(serving: Path) -> Path:
    return make_squares(serving)


def track_objects(inputs: bytes | list[bytes], **parameters: object) -> app.Response:
    return ask_task(app, MODEL, app.Request(inputs, app.Parameters(**parameters)))  # type: ignore[arg-type]


def corners(track: app.Track) -> list[tuple[int, int]]:
    return [(sighting.box.xmin, sighting.box.ymin) for sighting in track.sightings]


def test_two_squares_have_two_tracks(squares: Path) -> None:
    output = track_objects(make_video(frames(40)))
    assert (output.frames, output.rate, output.width, output.height) == (40, 10, WIDTH, HEIGHT)
    assert output.complete
    assert output.tracks is not None
    assert [(track.id, track.label) for track in output.tracks] == [(1, "square"), (2, "square")]
    for track in output.tracks:
        assert [sighting.frame for sighting in track.sightings] == list(range(1, 41))
        assert all(sighting.score > 0.7 for sighting in track.sightings)
    rightwards, leftwards = sorted(output.tracks, key=lambda track: corners(track)[0])
    for n in (0, 20, 39):
        assert np.abs(np.subtract(corners(rightwards)[n], (2 + n, 4))).max() <= 1
        assert np.abs(np.subtract(corners(leftwards)[n], (78 - n, 40))).max() <= 1


def test_pictures_have_the_tracks_of_the_video(squares: Path) -> None:
    stills, video = track_objects([png(picture) for picture in frames(20)]), track_objects(make_video(frames(20)))
    assert stills.tracks is not None
    assert video.tracks is not None
    for still_track, video_track in zip(stills.tracks, video.tracks, strict=True):
        assert np.abs(np.subtract(corners(still_track), corners(video_track))).max() <= 1


def test_every_second_frame_keeps_the_frame_numbers(squares: Path) -> None:
    output = track_objects(make_video(frames(41)), every=2)
    assert output.frames == 41
    assert output.tracks is not None
    assert [sighting.frame for sighting in output.tracks[0].sightings] == list(range(1, 42, 2))


def test_a_hidden_square_keeps_its_id_for_max_age(squares: Path) -> None:
    pictures = [frame() if 10 <= n < 18 else frame((2 + n, 20)) for n in range(30)]
    (track,) = track_objects(make_video(pictures)).tracks or []
    assert [sighting.frame for sighting in track.sightings if sighting.score == 0] == list(range(11, 19))
    assert len(track_objects(make_video(pictures), max_age=5).tracks or []) == 2


def test_max_age_is_in_frames_of_the_video_and_one_second_by_default(squares: Path) -> None:
    """Eight hidden frames last less than a second at 10 frames a second and more at 6; `every=2` reads four of them."""
    pictures = [frame() if 10 <= n < 18 else frame((2 + n, 20)) for n in range(30)]
    assert [len(track_objects(make_video(pictures, rate=rate)).tracks or []) for rate in (10, 6)] == [1, 2]
    assert [len(track_objects(make_video(pictures), every=2, max_age=age).tracks or []) for age in (8, 6)] == [1, 2]
    assert len(track_objects([png(picture) for picture in pictures]).tracks or []) == 1


TIMES = [n / 30 for n in range(11)] + [1 / 3 + n for n in range(1, 10)]
"""A camera that slows down: frames within a third of a second, then one per second."""


def test_sightings_have_the_times_of_the_film(squares: Path) -> None:
    output = track_objects(make_video(frames(20), times=TIMES))
    assert output.rate == pytest.approx(19 / TIMES[-1], rel=0.1), "the average"
    assert len(output.tracks or []) == 2
    for track in output.tracks or []:
        assert [sighting.time for sighting in track.sightings] == pytest.approx(TIMES, abs=2e-3)
    every_third = track_objects(make_video(frames(20), times=TIMES), every=3)
    for track in every_third.tracks or []:
        assert [sighting.time for sighting in track.sightings] == pytest.approx(TIMES[::3], abs=2e-3)


@pytest.mark.parametrize("every", [1, 3])
def test_a_drawn_film_keeps_the_times(squares: Path, every: int) -> None:
    output = track_objects(make_video(frames(20), times=TIMES), annotate=True, every=every)
    with av.open(io.BytesIO(output.video or b"")) as container:
        times = [frame.time for frame in container.decode(video=0)]
    assert times == pytest.approx(TIMES[::every], abs=2e-3)


def test_a_track_ends_after_a_second_of_the_films_own_time(squares: Path) -> None:
    """Eight frames without the square: at 30 frames a second a quarter of a second, at one a second eight seconds."""
    pictures = [frame() if 10 <= n < 18 else frame((2 + n, 20)) for n in range(30)]
    quick = [n / 30 for n in range(29)] + [28 / 30 + 1]
    slow = [n / 30 for n in range(10)] + [9 / 30 + n for n in range(1, 21)]
    tracks = [track_objects(make_video(pictures, times=times)).tracks or [] for times in (quick, slow)]
    assert [len(items) for items in tracks] == [1, 2]


@pytest.mark.parametrize(
    ("form", "codec"), [("webm", "libvpx"), ("matroska", "libx264"), ("avi", "mpeg4"), ("mpegts", "libx264")]
)
def test_any_container_has_the_tracks_of_mp4(squares: Path, form: str, codec: str) -> None:
    expected = track_objects(make_video(frames(20))).tracks or []
    output = track_objects(make_video(frames(20), form=form, codec=codec))
    assert output.complete
    assert [(track.id, track.label, len(track.sightings)) for track in output.tracks or []] == [
        (track.id, track.label, len(track.sightings)) for track in expected
    ]


@pytest.mark.filterwarnings("ignore:Operation with tuple")  # motmetrics with pandas 3
def test_motmetrics_reads_the_mot_text(squares: Path, tmp_path: Path) -> None:
    output = track_objects(make_video(frames(20)), format="mot")
    assert output.tracks is None
    assert output.mot is not None
    (tmp_path / "tracks.txt").write_text(output.mot)
    table = motmetrics.io.loadtxt(str(tmp_path / "tracks.txt"), fmt="mot15-2D")
    assert len(table) == 40
    assert sorted({number for _, number in table.index}) == [1, 2]
    # Pixels count from one in such files; motmetrics subtracts one.
    x, y, width, height = table.loc[(11, 1), ["X", "Y", "Width", "Height"]]
    assert (x, y) == pytest.approx((12, 4), abs=1) or (x, y) == pytest.approx((68, 40), abs=1)
    assert (width, height) == pytest.approx((SIDE, SIDE), abs=1)


def test_a_truncated_file_is_not_complete(squares: Path) -> None:
    output = track_objects(cut_off(index_first(make_video(frames(40))), 0.7))
    assert not output.complete
    assert output.reason == f"The file ends too early: {output.frames} of 40 frames could be read"
    assert output.tracks is not None
    assert len(output.tracks[0].sightings) == output.frames > 10


def test_annotate_and_contact_sheet_draw_the_boxes(squares: Path) -> None:
    output = track_objects(make_video(frames(30)), annotate=True, contact_sheet=True, every=2)
    assert output.video is not None
    assert output.sheet is not None
    with av.open(io.BytesIO(output.video)) as container:
        drawn = [image.to_ndarray(format="rgb24").astype(int) for image in container.decode(video=0)]
        assert container.streams[0].average_rate == 5
    assert len(drawn) == 15
    saturation = [np.abs(image.max(2) - image.min(2)).max() for image in drawn]
    assert min(saturation) > 50, "only the boxes have colours; the video is black and white"
    sheet = Image.open(io.BytesIO(output.sheet))
    assert (sheet.format, sheet.width) == ("JPEG", 4 * 404 + 4)
    assert track_objects(make_video(frames(5)), contact_sheet=True).video is None


@pytest.mark.parametrize(
    ("inputs", "error"),
    [
        (b"not a video", UnsupportedMedia),
        ([], BadRequest),
        ([b"not a picture"], UnsupportedMedia),
        ([png(frame()), png(frame())[:60]], BadRequest),
        (make_video(frames(10))[:-100], BadRequest),
        ([png(frame())] * 2001, PayloadTooLarge),
    ],
    ids=["no video", "empty list", "no picture", "damaged picture", "no index", "too many"],
)
def test_an_invalid_input_has_its_error(squares: Path, inputs: bytes | list[bytes], error: type[HearthError]) -> None:
    with pytest.raises(error):
        track_objects(inputs)


def test_the_manifest_limits_pixels_and_seconds(serving: Path) -> None:
    make_squares(serving, Limits(pixels=WIDTH * HEIGHT, seconds=2))
    assert track_objects(make_video(frames(20))).frames == 20
    with pytest.raises(PayloadTooLarge, match="2 seconds"):
        track_objects(make_video(frames(21)))
    with pytest.raises(PayloadTooLarge, match="pixels"):
        track_objects([png(np.zeros((HEIGHT, WIDTH + 1, 3), np.uint8))])


def test_a_request_does_not_change_the_next(squares: Path) -> None:
    data = make_video(frames(12))
    first, second = track_objects(data), track_objects(data)
    assert first == second
    assert [track.id for track in second.tracks or []] == [1, 2]
    track_objects(make_video([frame((40, 20))] * 12))
    assert track_objects(data) == first


def test_a_video_without_objects_has_no_tracks(squares: Path) -> None:
    output = track_objects(make_video([frame()] * 5), format="mot", annotate=True, contact_sheet=True)
    assert (output.mot, output.frames) == ("", 5)
    assert output.video
    assert output.sheet


def test_long_videos_log_their_progress(
    squares: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("hearth.tasks.tracking.PROGRESS_SECONDS", 0)
    track_objects(make_video(frames(20)))
    progress = [(record.frames, record.of) for record in caplog.records if record.message == "progress"]
    assert progress == [(8, 20), (16, 20), (20, 20)]


def test_raw_and_base64_bodies_have_the_same_response(squares: Path) -> None:
    data = make_video(frames(8))
    path = f"/pipeline/object-tracking/{MODEL}"
    json_body = json.dumps({"inputs": base64.b64encode(data).decode(), "parameters": {"every": 2}})
    raw_event = rest_event("POST", path, data) | {"queryStringParameters": {"every": "2"}}
    responses = [app.handler(event, None) for event in (rest_event("POST", path, json_body), raw_event)]
    assert [response["statusCode"] for response in responses] == [200, 200]
    assert json.loads(responses[0]["body"]) == json.loads(responses[1]["body"])
    assert json.loads(responses[0]["body"])["complete"] is True
    refused = app.handler(rest_event("POST", path, b"nothing"), None)
    assert refused["statusCode"] == 415


def test_a_detector_serves_the_tracking_task() -> None:
    assert "object-detection" in app.TASKS[0].row.models_of
