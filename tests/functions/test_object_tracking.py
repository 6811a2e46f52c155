"""object-tracking: films in, tracks out."""

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
    film,
    frame,
    frames,
    index_first,
    make_squares,
    png,
)
from tests.support.asking import ask as ask_task
from tests.support.requests import rest_event


@pytest.fixture
def squares(serving: Path) -> Path:
    return make_squares(serving)


def ask(inputs: bytes | list[bytes], **parameters: object) -> app.Response:
    return ask_task(app, MODEL, app.Request(inputs, app.Parameters(**parameters)))  # type: ignore[arg-type]


def corners(track: app.Track) -> list[tuple[int, int]]:
    return [(one.box.xmin, one.box.ymin) for one in track.sightings]


def test_two_squares_in_a_video(squares: Path) -> None:
    answer = ask(film(frames(40)))
    assert (answer.frames, answer.rate, answer.width, answer.height) == (40, 10, WIDTH, HEIGHT)
    assert answer.complete
    assert answer.tracks is not None
    assert [(track.id, track.label) for track in answer.tracks] == [(1, "square"), (2, "square")]
    for track in answer.tracks:
        assert [one.frame for one in track.sightings] == list(range(1, 41))
        assert all(one.score > 0.7 for one in track.sightings)
    rightwards, leftwards = sorted(answer.tracks, key=lambda track: corners(track)[0])
    for n in (0, 20, 39):
        assert np.abs(np.subtract(corners(rightwards)[n], (2 + n, 4))).max() <= 1
        assert np.abs(np.subtract(corners(leftwards)[n], (78 - n, 40))).max() <= 1


def test_pictures_answer_like_the_video(squares: Path) -> None:
    stills, video = ask([png(one) for one in frames(20)]), ask(film(frames(20)))
    assert stills.tracks is not None
    assert video.tracks is not None
    for one, other in zip(stills.tracks, video.tracks, strict=True):
        assert np.abs(np.subtract(corners(one), corners(other))).max() <= 1


def test_every_second_frame_keeps_the_numbers_of_frames(squares: Path) -> None:
    answer = ask(film(frames(41)), every=2)
    assert answer.frames == 41
    assert answer.tracks is not None
    assert [one.frame for one in answer.tracks[0].sightings] == list(range(1, 42, 2))


def test_a_hidden_square_keeps_its_number_for_max_age(squares: Path) -> None:
    pictures = [frame() if 10 <= n < 18 else frame((2 + n, 20)) for n in range(30)]
    (track,) = ask(film(pictures)).tracks or []
    assert [one.frame for one in track.sightings if one.score == 0] == list(range(11, 19))
    assert len(ask(film(pictures), max_age=5).tracks or []) == 2


def test_the_age_is_in_frames_of_the_film_and_a_second_where_none_is_sent(squares: Path) -> None:
    """Hidden for eight frames: less than a second at ten a second, more at six; four of them are looked at."""
    pictures = [frame() if 10 <= n < 18 else frame((2 + n, 20)) for n in range(30)]
    assert [len(ask(film(pictures, rate=rate)).tracks or []) for rate in (10, 6)] == [1, 2]
    assert [len(ask(film(pictures), every=2, max_age=age).tracks or []) for age in (8, 6)] == [1, 2]
    assert len(ask([png(one) for one in pictures]).tracks or []) == 1


@pytest.mark.filterwarnings("ignore:Operation with tuple")  # motmetrics with pandas 3
def test_mot_text_is_what_motmetrics_reads(squares: Path, tmp_path: Path) -> None:
    answer = ask(film(frames(20)), format="mot")
    assert answer.tracks is None
    assert answer.mot is not None
    (tmp_path / "tracks.txt").write_text(answer.mot)
    table = motmetrics.io.loadtxt(str(tmp_path / "tracks.txt"), fmt="mot15-2D")
    assert len(table) == 40
    assert sorted({number for _, number in table.index}) == [1, 2]
    # motmetrics takes one from the pixels, which count from one in such files.
    x, y, width, height = table.loc[(11, 1), ["X", "Y", "Width", "Height"]]
    assert (x, y) == pytest.approx((12, 4), abs=1) or (x, y) == pytest.approx((68, 40), abs=1)
    assert (width, height) == pytest.approx((SIDE, SIDE), abs=1)


def test_a_file_that_was_cut_off_says_so(squares: Path) -> None:
    answer = ask(cut_off(index_first(film(frames(40))), 0.7))
    assert not answer.complete
    assert answer.reason == f"The file ends too early: {answer.frames} of 40 frames could be read"
    assert answer.tracks is not None
    assert len(answer.tracks[0].sightings) == answer.frames > 10


def test_the_drawn_video_and_the_contact_sheet(squares: Path) -> None:
    answer = ask(film(frames(30)), annotate=True, contact_sheet=True, every=2)
    assert answer.video is not None
    assert answer.sheet is not None
    with av.open(io.BytesIO(answer.video)) as container:
        drawn = [one.to_ndarray(format="rgb24").astype(int) for one in container.decode(video=0)]
        assert container.streams[0].average_rate == 5
    assert len(drawn) == 15
    colourful = [np.abs(one.max(2) - one.min(2)).max() for one in drawn]
    assert min(colourful) > 50, "the film is black and white, the boxes are not"
    sheet = Image.open(io.BytesIO(answer.sheet))
    assert (sheet.format, sheet.width) == ("JPEG", 4 * 404 + 4)
    assert ask(film(frames(5)), contact_sheet=True).video is None


@pytest.mark.parametrize(
    ("inputs", "error"),
    [
        (b"not a video", UnsupportedMedia),
        ([], BadRequest),
        ([b"not a picture"], UnsupportedMedia),
        ([png(frame()), png(frame())[:60]], BadRequest),
        (film(frames(10))[:-100], BadRequest),
        ([png(frame())] * 2001, PayloadTooLarge),
    ],
    ids=["no video", "empty list", "no picture", "damaged picture", "no index", "too many"],
)
def test_what_is_refused(squares: Path, inputs: bytes | list[bytes], error: type[HearthError]) -> None:
    with pytest.raises(error):
        ask(inputs)


def test_the_manifest_limits_pixels_and_seconds(serving: Path) -> None:
    make_squares(serving, Limits(pixels=WIDTH * HEIGHT, seconds=2))
    assert ask(film(frames(20))).frames == 20
    with pytest.raises(PayloadTooLarge, match="2 seconds"):
        ask(film(frames(21)))
    with pytest.raises(PayloadTooLarge, match="pixels"):
        ask([png(np.zeros((HEIGHT, WIDTH + 1, 3), np.uint8))])


def test_nothing_of_a_request_is_left_for_the_next(squares: Path) -> None:
    data = film(frames(12))
    first, second = ask(data), ask(data)
    assert first == second
    assert [track.id for track in second.tracks or []] == [1, 2]
    ask(film([frame((40, 20))] * 12))
    assert ask(data) == first


def test_a_film_without_anything_in_it(squares: Path) -> None:
    answer = ask(film([frame()] * 5), format="mot", annotate=True, contact_sheet=True)
    assert (answer.mot, answer.frames) == ("", 5)
    assert answer.video
    assert answer.sheet


def test_long_films_tell_how_far_they_are(
    squares: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("hearth.tasks.tracking.PROGRESS_SECONDS", 0)
    ask(film(frames(20)))
    told = [(record.frames, record.of) for record in caplog.records if record.message == "progress"]
    assert told == [(8, 20), (16, 20), (20, 20)]


def test_raw_and_base64_bodies_through_the_handler(squares: Path) -> None:
    data = film(frames(8))
    path = f"/pipeline/object-tracking/{MODEL}"
    plain = json.dumps({"inputs": base64.b64encode(data).decode(), "parameters": {"every": 2}})
    raw = rest_event("POST", path, data) | {"queryStringParameters": {"every": "2"}}
    answers = [app.handler(event, None) for event in (rest_event("POST", path, plain), raw)]
    assert [answer["statusCode"] for answer in answers] == [200, 200]
    assert json.loads(answers[0]["body"]) == json.loads(answers[1]["body"])
    assert json.loads(answers[0]["body"])["complete"] is True
    refused = app.handler(rest_event("POST", path, b"nothing"), None)
    assert refused["statusCode"] == 415


def test_a_detector_answers_for_tracks() -> None:
    assert app.TASKS[0].serves("object-detection")
