"""Multi-object tracking by a Kalman filter and two rounds of association by overlap.

As in ByteTrack (Zhang et al. 2022), detections with high scores are matched with all tracks first; the remaining tracks
are then matched with detections of low scores, which may continue a track but never begin one. Only boxes of one class
are matched.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hearth.ops.vision.boxes import box_iou
from hearth.ops.vision.kalman import BoxKalmanFilter
from hearth.ops.vision.linear_assignment import linear_sum_assignment

Floats = np.ndarray[Any, np.dtype[np.floating[Any]]]
Integers = np.ndarray[Any, np.dtype[np.int64]]

Box = tuple[float, float, float, float]
TOLERANCE = 0.01
"""Of times, in intervals between frames: containers round them."""


@dataclass(frozen=True)
class TrackerConfig:
    """The defaults are those of ByteTrack, except `min_hits`, which is that of SORT."""

    high_score: float = 0.6
    """Smallest score of a detection in the first round of association; others can only continue tracks."""
    new_track_margin: float = 0.1
    """A track begins with a detection whose score is at least `high_score` plus this."""
    min_iou: float = 0.2
    """Smallest intersection over union, times score, of a track's predicted box with a detection of a high score."""
    min_iou_low_score: float = 0.5
    """Smallest intersection over union with a detection of a low score."""
    min_hits: int = 3
    """Number of sightings after which a track is confirmed; until then a single miss ends it."""
    max_age: int = 30
    """Number of frames without a sighting after which a track ends, at the usual interval between frames."""


@dataclass(frozen=True)
class Sighting:
    frame: int
    """Number of the frame, from 1."""
    box: Box
    """x1, y1, x2, y2 in pixels: the filter's estimate."""
    score: float
    """Score of the detection; 0 in frames without a detection, where the box is interpolated."""


@dataclass
class Track:
    class_id: int
    id: int = 0
    """From 1, in the order in which tracks were confirmed; 0 until then."""
    sightings: list[Sighting] = field(default_factory=list)
    """One per frame, from the first to the last frame with a detection."""


class Tracker:
    """The tracks of one sequence of frames. Every sequence needs a tracker of its own."""

    def __init__(self, config: TrackerConfig) -> None:
        self.config = config
        self.frame = 0
        self._times = [0.0]
        """Time of each frame, in usual intervals between frames; the first is before all frames."""
        self.tracks: list[Track] = []
        """All confirmed tracks, including those that ended."""
        self._alive: list[Track] = []
        self._motion = BoxKalmanFilter()

    def update(self, boxes: Floats, scores: Floats, classes: Integers, elapsed: float = 1.0) -> None:
        """Process the next frame's detections: (n, 4) as x1, y1, x2, y2, (n,) and (n,). `elapsed` is the time since the
        last frame, as a multiple of the usual one."""
        recent = np.array([track.sightings[-1].frame == self.frame for track in self._alive], bool)
        confirmed = np.array([track.id > 0 for track in self._alive], bool)
        self.frame += 1
        self._times.append(self._times[-1] + elapsed)
        self._motion.predict(elapsed)
        ious = box_iou(_corners(self._motion.means[:, :, 0]), boxes)  # (tracks, detections)
        ious *= np.array([track.class_id for track in self._alive], np.int64)[:, None] == classes
        high = scores >= self.config.high_score
        pairs: list[tuple[int, int]] = []
        for tracks, detections, similarity, minimum in (
            (confirmed, high, ious * scores, self.config.min_iou),
            (confirmed & recent, ~high, ious, self.config.min_iou_low_score),
            (~confirmed, high, ious * scores, self.config.min_iou),
        ):
            rows = np.setdiff1d(np.flatnonzero(tracks), [row for row, _ in pairs])
            columns = np.setdiff1d(np.flatnonzero(detections), [column for _, column in pairs])
            pairs += _match(similarity, rows, columns, minimum)
        self._continue_tracks(sorted(pairs), boxes, scores)
        self._end_tracks()
        new = np.flatnonzero(scores >= self.config.high_score + self.config.new_track_margin)
        self._begin_tracks(np.setdiff1d(new, [column for _, column in pairs]), boxes, scores, classes)

    def _continue_tracks(self, pairs: list[tuple[int, int]], boxes: Floats, scores: Floats) -> None:
        tracks, detections = np.array(pairs, np.int64).reshape(-1, 2).T
        self._motion.correct(tracks, _centres(boxes[detections]))
        estimates = _corners(self._motion.means[tracks, :, 0])
        for row, box, score in zip(tracks, estimates, scores[detections], strict=True):
            track = self._alive[row]
            sighting = Sighting(self.frame, _box(box), float(score))
            track.sightings += [*self._interpolate(track.sightings[-1], sighting), sighting]
            if not track.id and len(track.sightings) >= self.config.min_hits:
                self.tracks.append(track)
                track.id = len(self.tracks)

    def _interpolate(self, first: Sighting, last: Sighting) -> Iterator[Sighting]:
        """Boxes for the frames between two sightings, by linear interpolation in time."""
        start, end = self._times[first.frame], self._times[last.frame]
        for frame in range(first.frame + 1, last.frame):
            fraction = (self._times[frame] - start) / (end - start)
            box = tuple(before + (after - before) * fraction for before, after in zip(first.box, last.box, strict=True))
            yield Sighting(frame, box, 0.0)  # type: ignore[arg-type]

    def _end_tracks(self) -> None:
        """Forget tracks that were unseen for too long, and unconfirmed ones at their first miss."""
        unseen = [self._times[self.frame] - self._times[track.sightings[-1].frame] for track in self._alive]
        ages = [self.config.max_age if track.id else 0 for track in self._alive]
        keep = np.array(unseen) <= np.array(ages) + TOLERANCE
        self._motion.keep(keep)
        self._alive = [self._alive[row] for row in np.flatnonzero(keep)]

    def _begin_tracks(self, detections: Integers, boxes: Floats, scores: Floats, classes: Integers) -> None:
        self._motion.add(_centres(boxes[detections]))
        for index in detections:
            sighting = Sighting(self.frame, _box(boxes[index]), float(scores[index]))
            self._alive.append(Track(int(classes[index]), sightings=[sighting]))


def _match(similarity: Floats, rows: Integers, columns: Integers, minimum: float) -> list[tuple[int, int]]:
    """Pairs of tracks `rows` and detections `columns` with the largest sum of similarities, each at least `minimum`."""
    candidates = similarity[np.ix_(rows, columns)].astype(np.float64)
    candidates[candidates < minimum] = 0  # pairs below the minimum must not influence the assignment
    rows, columns = rows[candidates.any(1)], columns[candidates.any(0)]
    candidates = candidates[candidates.any(1)][:, candidates.any(0)]
    pairs = zip(*linear_sum_assignment(-candidates), strict=True)
    return [(int(rows[row]), int(columns[column])) for row, column in pairs if candidates[row, column] > 0]


def _centres(boxes: Floats) -> np.ndarray[Any, np.dtype[np.float64]]:
    boxes = boxes.astype(np.float64)
    return np.concatenate([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]], 1)


def _corners(centres: Floats) -> Floats:
    halves = centres[:, 2:] / 2
    return np.concatenate([centres[:, :2] - halves, centres[:, :2] + halves], 1)


def _box(row: Floats) -> Box:
    left, top, right, bottom = row.tolist()
    return left, top, right, bottom
