"""Finds the samples of WAV and AIFF files whose recorder never wrote their length."""

from __future__ import annotations

from typing import Literal

ByteOrder = Literal["little", "big"]


def with_length(data: bytes) -> bytes:
    """The file with the length of its samples in the header, if that is 0 there and samples follow to the end."""
    if data[:4] == b"RIFF" and data[8:12] == b"WAVE":
        position = _samples_at(data, b"data", "little")
        return _patched(data, position - 4, len(data) - position, "little") if position else data
    if data[:4] == b"FORM" and data[8:12] in (b"AIFF", b"AIFC"):
        position, common = _samples_at(data, b"SSND", "big"), _next_chunk(data, 12, b"COMM", "big")
        channels, bits = (int.from_bytes(data[common + start :][:2], "big") for start in (0, 6))
        frame = channels * -(-bits // 8)
        if position and common and frame:
            data = _patched(data, common + 2, (len(data) - position - 8) // frame, "big")
            return _patched(data, position - 4, len(data) - position, "big")
    return data


def _samples_at(data: bytes, name: bytes, order: ByteOrder) -> int:
    """Where the contents of a chunk of length 0 begin; 0 without one, or if further chunks follow it to the end."""
    position = _next_chunk(data, 12, name, order)
    if not position or int.from_bytes(data[position - 4 : position], order):
        return 0
    return 0 if position >= len(data) or _are_chunks(data, position, order) else position


def _next_chunk(data: bytes, position: int, name: bytes, order: ByteOrder) -> int:
    """Where the contents of the first chunk of this name begin; 0 without one."""
    while position + 8 <= len(data):
        size = int.from_bytes(data[position + 4 : position + 8], order)
        if data[position : position + 4] == name:
            return position + 8
        position += 8 + size + size % 2
    return 0


def _are_chunks(data: bytes, position: int, order: ByteOrder) -> bool:
    """Whether the rest of a file is chunks with printable names that end where the file ends."""
    while position + 8 <= len(data):
        if not all(32 <= byte < 127 for byte in data[position : position + 4]):
            return False
        size = int.from_bytes(data[position + 4 : position + 8], order)
        position += 8 + size + size % 2
    return position - 1 <= len(data) <= position


def _patched(data: bytes, position: int, value: int, order: ByteOrder) -> bytes:
    return data[:position] + min(value, 2**32 - 1).to_bytes(4, order) + data[position + 4 :]
