"""Counts the frames in a packet of AV1 (AV1 Bitstream Specification, 5.3).

A packet has one frame to show. FFmpeg would decode any number before it returns, each of them megabytes.
"""

from __future__ import annotations

FRAME_HEADER, FRAME = 3, 6
MAX_FRAMES = 8
"""Frames of a packet: the one to show, and those that later ones refer to or that are its layers."""


def has_few_frames(data: bytes) -> bool:
    """Whether a packet has at most MAX_FRAMES frames."""
    position = frames = 0
    while position < len(data) and frames <= MAX_FRAMES:
        header = data[position]
        position += 2 if header & 4 else 1  # an extension follows
        frames += header >> 3 & 15 in (FRAME_HEADER, FRAME)
        if not header & 2:  # without a size it reaches to the end
            break
        size, shift = 0, 0
        while position < len(data):
            size |= (data[position] & 127) << shift
            shift += 7
            position += 1
            if not data[position - 1] & 128:
                break
        position += size
    return frames <= MAX_FRAMES
