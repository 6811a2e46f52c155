"""How much work the index of an mp4 file asks for, seen before a demuxer believes it.

A sample table of twenty bytes can promise a billion samples of one size, and FFmpeg then builds an entry for each: two
kilobytes of file became 1.2 GB of memory. Boxes are as ISO/IEC 14496-12 describes them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

COUNTS = {b"stsz": 8, b"stz2": 8, b"trun": 4}
"""Where the number of samples stands, in bytes after the name of the box."""
MAX_SAMPLES = 1_000_000
"""Of all tracks: five hours of sound and pictures."""
MAX_TRACKS = 16


def believable(data: bytes) -> bool:
    """Whether the index is one that a recorder writes: neither huge by its own words, nor packed (`cmov`)."""
    samples = tracks = 0
    for part in _index(data):
        for found in re.finditer(b"stsz|stz2|trun|trak|cmov", part):
            if found[0] == b"cmov":
                return False
            tracks += found[0] == b"trak"
            if found[0] in COUNTS:
                place = found.end() + COUNTS[found[0]]
                samples += int.from_bytes(part[place : place + 4], "big")
    return samples <= MAX_SAMPLES and tracks <= MAX_TRACKS


def _index(data: bytes) -> Iterator[bytes]:
    """All but the contents of `mdat` boxes. Names are sought everywhere in it: demuxers find tables in odd places."""
    at = start = 0
    while at + 8 <= len(data):
        size, name = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        if size == 1:
            size = int.from_bytes(data[at + 8 : at + 16], "big")
        if size == 0 and name == b"mdat":  # to the end of the file
            size = len(data) - at
        if size < 8:
            break  # not boxes any more: whatever follows is looked through
        if name == b"mdat":
            yield data[start : at + 8]
            start = at + size
        at += size
    yield data[start:]
