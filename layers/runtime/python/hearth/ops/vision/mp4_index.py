"""Checks the index of an mp4 file for implausible sizes before a demuxer reads it.

A sample table of twenty bytes can claim a billion samples of one size, and FFmpeg then builds an entry for each: a file
of two kilobytes took 1.2 GB of memory. Boxes are described in ISO/IEC 14496-12.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

COUNT_OFFSETS = {b"stsz": 8, b"stz2": 8, b"trun": 4}
"""Offset of the number of samples, in bytes after the name of the box."""
MAX_ENTRIES = 1_000_000
"""Largest number of entries of all tracks: five hours of sound and pictures."""
MAX_TRACKS = 16
PLAIN_SAMPLES = 1024
"""Samples of plain sound for which FFmpeg builds one entry."""
SOUND_HANDLERS = {b"soun", b"url ", b"alis"}
"""Types of the handlers of a track of sound: of its media, and of where they are."""


def has_plausible_index(data: bytes) -> bool:
    """Whether a recorder could have written the index: it claims no huge number of samples, and is not compressed
    (`cmov`)."""
    entries = tracks = 0
    for chunk in _index_parts(data):
        if b"cmov" in chunk:
            return False
        first, *others = chunk.split(b"trak")
        tracks += len(others)
        entries += sum(map(_count_entries, (first, *others)))
    return entries <= MAX_ENTRIES and tracks <= MAX_TRACKS


def _count_entries(track: bytes) -> int:
    """The entries that FFmpeg builds for a track. In QuickTime files, each moment of plain sound is a sample."""
    samples = 0
    for match in re.finditer(b"stsz|stz2|trun", track):
        offset = match.end() + COUNT_OFFSETS[match[0]]
        samples += int.from_bytes(track[offset : offset + 4], "big")
    return -(-samples // PLAIN_SAMPLES) if _is_plain_sound(track) else samples


def _is_plain_sound(track: bytes) -> bool:
    """Whether all samples have one size and last one tick, in a track of sound: FFmpeg then reads them in groups."""
    if any(name in track for name in (b"stz2", b"trun")):
        return False
    durations = [track[match.end() + 4 : match.end() + 16] for match in re.finditer(b"stts", track)]
    sizes = [track[match.end() + 4 : match.end() + 8] for match in re.finditer(b"stsz", track)]
    handlers = {track[match.end() + 8 : match.end() + 12] for match in re.finditer(b"hdlr", track)}
    return (
        len(durations) == len(sizes) == 1
        and durations[0][:4] == durations[0][8:] == (1).to_bytes(4, "big")
        and sizes[0] != bytes(4)
        and b"soun" in handlers <= SOUND_HANDLERS
    )


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
