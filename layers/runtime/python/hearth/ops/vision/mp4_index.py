"""Checks the index of an mp4 file for implausible sizes before a demuxer reads it.

A sample table of twenty bytes can claim a billion samples of one size, and FFmpeg then builds an entry for each: a file
of two kilobytes took 1.2 GB of memory. Boxes are described in ISO/IEC 14496-12.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

COUNT_OFFSETS = {b"stsz": 8, b"stz2": 8, b"trun": 4}
"""Offset of the number of samples, in bytes after the name of the box."""
MAX_SAMPLES = 1_000_000
"""Largest number of samples of all tracks: five hours of sound and pictures."""
MAX_TRACKS = 16


def has_plausible_index(data: bytes) -> bool:
    """Whether a recorder could have written the index: it claims no huge number of samples, and is not compressed
    (`cmov`)."""
    samples = tracks = 0
    for chunk in _index_parts(data):
        for match in re.finditer(b"stsz|stz2|trun|trak|cmov", chunk):
            name = match[0]
            if name == b"cmov":
                return False
            tracks += name == b"trak"
            if name in COUNT_OFFSETS:
                offset = match.end() + COUNT_OFFSETS[name]
                samples += int.from_bytes(chunk[offset : offset + 4], "big")
    return samples <= MAX_SAMPLES and tracks <= MAX_TRACKS


def _index_parts(data: bytes) -> Iterator[bytes]:
    """The file without the contents of `mdat` boxes. Demuxers find tables in unusual places, so search all."""
    offset = start = 0
    while offset + 8 <= len(data):
        size, name = int.from_bytes(data[offset : offset + 4], "big"), data[offset + 4 : offset + 8]
        if size == 1:
            size = int.from_bytes(data[offset + 8 : offset + 16], "big")
        if size == 0 and name == b"mdat":  # to the end of the file
            size = len(data) - offset
        if size < 8:
            break  # no more boxes: the rest of the file is searched
        if name == b"mdat":
            yield data[start : offset + 8]
            start = offset + size
        offset += size
    yield data[start:]
