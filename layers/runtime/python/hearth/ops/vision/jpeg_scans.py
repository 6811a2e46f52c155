"""Reads the markers of a JPEG, to count its scans before anything is decoded (ITU-T T.81, annex B)."""

from __future__ import annotations

import bisect
from typing import Any, NamedTuple

import numpy as np

EOI, SOS = 0xD9, 0xDA
PROGRESSIVE = (0xC2, 0xCA)
FRAMES = (*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0))
"""Markers that begin a frame; DHT (C4), JPG (C8) and DAC (CC) lie between them."""
COEFFICIENTS = 64
MAX_COUNT = 1000
"""Scans after which the rest of a file is not read."""


class Scans(NamedTuple):
    """The scans of the first picture of a file; what follows it, such as a motion photo's film, is not read."""

    total: int
    is_closed: bool
    """Whether the end marker is there."""
    is_complete: bool
    """Whether the scans cover all coefficients of all components to the last bit, as far as headers tell."""


def read_scans(data: bytes) -> Scans:
    """The scans of a JPEG that begins with `data`."""
    positions = _marker_positions(data).tolist()
    position, count, is_progressive = 2, 0, False
    missing: dict[int, list[bool]] = {}  # for each component, the coefficients without a scan to their last bit
    while (index := bisect.bisect_left(positions, position)) < len(positions) and count <= MAX_COUNT:
        marker, position = data[positions[index] + 1], positions[index] + 2
        if marker == EOI:
            return Scans(count, True, _is_complete(missing))
        content = data[position + 2 : position + int.from_bytes(data[position : position + 2], "big")]
        if marker in FRAMES and len(content) >= 6:
            is_progressive = marker in PROGRESSIVE
            missing = {component: [True] * COEFFICIENTS for component in content[6::3]}
        elif marker == SOS:
            count += 1
            _record(content, is_progressive, missing)
        position += 2 + len(content)
    return Scans(count, False, _is_complete(missing))


def _marker_positions(data: bytes) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Where markers may begin: before a byte that is none of stuffing, filling, or a marker without content other than
    the end of the picture. A regular expression takes as long as decoding the picture."""
    values = np.frombuffer(data, np.uint8)
    first, second = values[:-1], values[1:]
    has_content = (second > 1) & (second < 0xFF) & ((second < 0xD0) | (second > 0xD8))
    return np.flatnonzero((first == 0xFF) & has_content)


def _record(content: bytes, is_progressive: bool, missing: dict[int, list[bool]]) -> None:
    """Mark the coefficients that a scan's header announces."""
    components = content[1 : 1 + 2 * content[0] : 2] if content else b""
    first, last, low_bit = 0, COEFFICIENTS - 1, 0
    if is_progressive and len(content) >= 4:
        first, last, low_bit = content[-3], content[-2], content[-1] & 15
    if not low_bit:
        for component in components:
            if component in missing:
                missing[component][first : last + 1] = [False] * (min(last, COEFFICIENTS - 1) - first + 1)


def _is_complete(missing: dict[int, list[bool]]) -> bool:
    return bool(missing) and not any(map(any, missing.values()))
