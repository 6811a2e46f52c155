"""Finds the first frame of an MP3 behind other bytes (ISO/IEC 11172-3, 2.4.1.3, and 13818-3)."""

from __future__ import annotations

import re

SYNC = re.compile(rb"\xff[\xe2-\xff]")
SEARCHED_BYTES = 256 * 1024
"""Bytes before the frames, beyond the tag, in which they are searched."""
CONSECUTIVE_FRAMES = 4
"""Frames in a row that are no coincidence."""
BIT_RATES = {
    (3, 1): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (3, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (3, 3): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (0, 1): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (0, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (0, 3): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
}
"""Kilobits per second by version (3: MPEG-1, 0: MPEG-2 and 2.5) and layer bits (3: layer I, 1: layer III)."""
RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
"""Samples per second by version bits."""


def skip_to_frames(data: bytes) -> bytes:
    """The file from its first frame on; empty if there are no frames."""
    start = _tag_size(data)
    for match in SYNC.finditer(data, start, min(start + SEARCHED_BYTES, len(data))):
        if _is_chain(data, match.start()):
            return data[match.start() :]
    return b""


def _tag_size(data: bytes) -> int:
    """Bytes of an ID3 tag; 0 without one, and for one that claims more than the file has."""
    if data[:3] != b"ID3" or len(data) < 10:
        return 0
    size = 10
    for byte, shift in zip(data[6:10], (21, 14, 7, 0), strict=True):
        size += (byte & 127) << shift
    return size if size < len(data) else 0


def _is_chain(data: bytes, position: int) -> bool:
    first = data[position + 1] & 0xFE
    for number in range(CONSECUTIVE_FRAMES):
        if number and position == len(data):
            return True
        size = _frame_size(data[position : position + 4])
        if not size or data[position + 1] & 0xFE != first:
            return False
        position += size
    return True


def _frame_size(header: bytes) -> int:
    """Bytes of a frame; 0 if this is no header of one."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return 0
    version, layer = header[1] >> 3 & 3, header[1] >> 1 & 3
    bits, rate, padding = header[2] >> 4, header[2] >> 2 & 3, header[2] >> 1 & 1
    if version == 1 or layer == 0 or bits in (0, 15) or rate == 3:
        return 0
    kilobits = BIT_RATES[3 if version == 3 else 0, layer][bits - 1]
    if layer == 3:
        return (12_000 * kilobits // RATES[version][rate] + padding) * 4
    factor = 72_000 if layer == 1 and version != 3 else 144_000
    return factor * kilobits // RATES[version][rate] + padding
