"""Detections of frame after frame as tracks: Kalman filter, and association by overlap in two rounds.

The idea of ByteTrack (Zhang et al. 2022): sure detections are matched with all tracks first; what is left of the
tracks takes unsure ones, which may continue a track but never begin one. Everything is within one class.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hearth.ops.vision.boxes import overlaps
from hearth.ops.vision.kalman import Motion
from hearth.ops.vision.linear_assignment import assign

Floats = np.ndarray[Any, np.dtype[np.floating[Any]]]
Integers = np.ndarray[Any, np.dtype[np.int64]]

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Rules:
    """The defaults are ByteTrack's published ones, but for `sightings`, which is SORT's."""

    sure: float = 0.6
    """Least score of a detection of the first round; weaker ones continue tracks that are left."""
    margin: float = 0.1
    """A track begins with a detection that is so much above `sure`."""
    overlap: float = 0.2
    """Least intersection over union, times score, of a track's expected box with a sure detection."""
    unsure_overlap: float = 0.5
    """Least intersection over union with an unsure one."""
    sightings: int = 3
    """A track counts, from its beginning, once it was seen so often; before, a single miss ends it."""
    max_age: int = 30
    """Frames that a track outlives without being seen."""


@dataclass(frozen=True)
class Sighting:
    frame: int
    """From 1."""
    box: Box
    """x1, y1, x2, y2 in pixels: the filter's estimate."""
    score: float
    """Of the detection; 0 where there was none, and the box lies on the line between two that were."""


@dataclass
class Track:
    kind: int
    """The class."""
    number: int = 0
    """From 1, in the order in which tracks came to count; 0 before."""
    sightings: list[Sighting] = field(default_factory=list)
    """One a frame from the first to the last that it was seen in."""


class Tracker:
    """The tracks of one sequence of frames. All state is here: another sequence wants another tracker."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.frame = 0
        self.tracks: list[Track] = []
        """Every track that came to count, also those that ended."""
        self._alive: list[Track] = []
        self._motion = Motion()

    def update(self, boxes: Floats, scores: Floats, classes: Integers) -> None:
        """The next frame's detections: (n, 4) as x1, y1, x2, y2, (n,) and (n,)."""
        recent = np.array([track.sightings[-1].frame == self.frame for track in self._alive], bool)
        counts = np.array([track.number > 0 for track in self._alive], bool)
        self.frame += 1
        self._motion.predict()
        shared = overlaps(_corners(self._motion.means[:, :, 0]), boxes)  # (tracks, detections)
        shared *= np.array([track.kind for track in self._alive], np.int64)[:, None] == classes
        sure = scores >= self.rules.sure
        pairs: list[tuple[int, int]] = []
        for tracks, found, overlap, least in (
            (counts, sure, shared * scores, self.rules.overlap),
            (counts & recent, ~sure, shared, self.rules.unsure_overlap),
            (~counts, sure, shared * scores, self.rules.overlap),
        ):
            rows = np.setdiff1d(np.flatnonzero(tracks), [row for row, _ in pairs])
            columns = np.setdiff1d(np.flatnonzero(found), [column for _, column in pairs])
            pairs += _matched(overlap, rows, columns, least)
        self._see(sorted(pairs), boxes, scores)
        self._end()
        fresh = np.flatnonzero(scores >= self.rules.sure + self.rules.margin)
        self._begin(np.setdiff1d(fresh, [column for _, column in pairs]), boxes, scores, classes)

    def _see(self, pairs: list[tuple[int, int]], boxes: Floats, scores: Floats) -> None:
        which, found = np.array(pairs, np.int64).reshape(-1, 2).T
        self._motion.correct(which, _centres(boxes[found]))
        estimates = _corners(self._motion.means[which, :, 0])
        for row, box, score in zip(which, estimates, scores[found], strict=True):
            track = self._alive[row]
            now = Sighting(self.frame, _box(box), float(score))
            track.sightings += [*_between(track.sightings[-1], now), now]
            if not track.number and len(track.sightings) >= self.rules.sightings:
                self.tracks.append(track)
                track.number = len(self.tracks)

    def _end(self) -> None:
        """Forget tracks that were unseen for too long, and those that do not count at their first miss."""
        unseen = [self.frame - track.sightings[-1].frame for track in self._alive]
        ages = [self.rules.max_age if track.number else 0 for track in self._alive]
        keep = np.array(unseen, np.int64) <= np.array(ages, np.int64)
        self._motion.keep(keep)
        self._alive = [self._alive[row] for row in np.flatnonzero(keep)]

    def _begin(self, which: Integers, boxes: Floats, scores: Floats, classes: Integers) -> None:
        self._motion.add(_centres(boxes[which]))
        for one in which:
            sighting = Sighting(self.frame, _box(boxes[one]), float(scores[one]))
            self._alive.append(Track(int(classes[one]), sightings=[sighting]))


def _matched(overlap: Floats, rows: Integers, columns: Integers, least: float) -> list[tuple[int, int]]:
    """Pairs of the given tracks and detections that overlap the most in all, each by at least `least`."""
    part = overlap[np.ix_(rows, columns)].astype(np.float64)
    part[part < least] = 0  # a pair that will not do shall not decide over others
    rows, columns = rows[part.any(1)], columns[part.any(0)]
    part = part[part.any(1)][:, part.any(0)]
    pairs = zip(*assign(-part), strict=True)
    return [(int(rows[row]), int(columns[column])) for row, column in pairs if part[row, column] > 0]


def _between(last: Sighting, now: Sighting) -> Iterator[Sighting]:
    """The unseen frames between two sightings, on a straight line."""
    for frame in range(last.frame + 1, now.frame):
        part = (frame - last.frame) / (now.frame - last.frame)
        box = tuple(one + (other - one) * part for one, other in zip(last.box, now.box, strict=True))
        yield Sighting(frame, box, 0.0)  # type: ignore[arg-type]


def _centres(boxes: Floats) -> np.ndarray[Any, np.dtype[np.float64]]:
    wide = boxes.astype(np.float64)
    return np.concatenate([(wide[:, :2] + wide[:, 2:]) / 2, wide[:, 2:] - wide[:, :2]], 1)


def _corners(centres: Floats) -> Floats:
    half = centres[:, 2:] / 2
    return np.concatenate([centres[:, :2] - half, centres[:, :2] + half], 1)


def _box(row: Floats) -> Box:
    left, top, right, bottom = row.tolist()
    return left, top, right, bottom
