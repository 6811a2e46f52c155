"""ByteTrack: the Kalman filter against the textbook form with eight states, association, the life of a track."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hearth.ops.vision.bytetrack import Track, Tracker, TrackerConfig

Array = np.ndarray[Any, np.dtype[np.float64]]
CONFIG = TrackerConfig()


def box(x: float, y: float, side: float = 40) -> list[float]:
    return [x, y, x + side, y + side]


def follow(
    frames: list[list[tuple[list[float], float]]], config: TrackerConfig = CONFIG, classes_of_frames: Any = None
) -> list[Track]:
    tracker = Tracker(config)
    for index, frame in enumerate(frames):
        boxes = np.array([corners for corners, _ in frame], np.float32).reshape(-1, 4)
        scores = np.array([score for _, score in frame], np.float32)
        classes = np.array(classes_of_frames[index] if classes_of_frames else [0] * len(frame), np.int64)
        tracker.update(boxes, scores, classes)
    return tracker.tracks


def frames_of(track: Track) -> list[int]:
    return [sighting.frame for sighting in track.sightings]


def test_crossing_objects_keep_their_ids() -> None:
    """Their paths overlap in the middle; only the motion tells them apart."""
    tracks = follow([[(box(6 * t, 100), 0.9), (box(300 - 6 * t, 110), 0.9)] for t in range(50)])
    assert [frames_of(track) for track in tracks] == [list(range(1, 51))] * 2
    assert [track.id for track in tracks] == [1, 2]
    for track, end in zip(tracks, (6 * 49, 300 - 6 * 49), strict=True):
        assert track.sightings[-1].box[0] == pytest.approx(end, abs=2)


def test_the_second_association_continues_tracks_and_starts_none() -> None:
    fading = [[(box(2 * t, 50), 0.9 if t < 5 else 0.2)] for t in range(20)]
    (track,) = follow(fading)
    assert frames_of(track) == list(range(1, 21))
    assert track.sightings[-1].score == pytest.approx(0.2)
    assert not follow([[(box(2 * t, 50), 0.5)] for t in range(20)])


def test_confident_detections_are_matched_first() -> None:
    """An unsure detection is exactly where the track is predicted, a confident one beside it."""
    still = [[(box(100, 100), 0.9)]] * 5
    (track,) = follow([*still, [(box(100, 100), 0.3), (box(108, 100), 0.95)]])
    assert track.sightings[-1].score == pytest.approx(0.95)


def test_a_track_is_confirmed_after_several_sightings_and_keeps_them() -> None:
    seen = [[(box(0, 0), 0.9)]] * 3
    assert not follow(seen[:2])
    assert not follow([seen[0], [], seen[0], [], seen[0]]), "a single miss ends an unconfirmed track"
    (track,) = follow(seen)
    assert frames_of(track) == [1, 2, 3]


def test_a_gap_is_interpolated() -> None:
    hidden = [[] if 10 <= t < 20 else [(box(4 * t, 0), 0.9)] for t in range(30)]
    (track,) = follow(hidden)
    assert frames_of(track) == list(range(1, 31))
    assert [sighting.frame for sighting in track.sightings if sighting.score == 0] == list(range(11, 21))
    for sighting in track.sightings[10:20]:
        assert sighting.box[0] == pytest.approx(4 * (sighting.frame - 1), abs=4)


@pytest.mark.parametrize(("unseen", "tracks"), [(5, 1), (6, 2)])
def test_a_track_survives_max_age_frames_and_no_more(unseen: int, tracks: int) -> None:
    seen = [[(box(0, 0), 0.9)]] * 5
    assert len(follow([*seen, *[[]] * unseen, *seen], TrackerConfig(max_age=5))) == tracks


def test_no_track_takes_a_detection_of_another_class() -> None:
    tracks = follow([[(box(0, 0), 0.9)]] * 10, classes_of_frames=[[0]] * 5 + [[1]] * 5)
    assert [(track.class_id, frames_of(track)) for track in tracks] == [(0, [1, 2, 3, 4, 5]), (1, [6, 7, 8, 9, 10])]


def test_no_detections_and_empty_boxes_have_no_tracks() -> None:
    assert follow([[], [], []]) == []
    assert follow([[([5.0, 5.0, 5.0, 5.0], 0.9)]] * 5) == [], "a box without area overlaps with nothing"


def test_a_new_tracker_starts_numbering_at_one() -> None:
    frames = [[(box(0, 0), 0.9)]] * 4
    assert [track.id for track in follow(frames)] == [track.id for track in follow(frames)] == [1]


def test_the_order_of_detections_does_not_matter() -> None:
    random = np.random.default_rng(3)
    frames = [[(box(100 * n + 3 * t, 90 * n), 0.9) for n in range(5)] for t in range(12)]
    shuffled = [[frame[index] for index in random.permutation(5)] for frame in frames]
    paths = [
        {tuple(np.round(track.sightings[-1].box, 3)) for track in follow(version)} for version in (frames, shuffled)
    ]
    assert paths[0] == paths[1]
    assert len(paths[0]) == 5
