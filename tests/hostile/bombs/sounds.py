"""Sounds with false headers, and sounds with extreme samples or lengths."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable

import numpy as np
import soundfile

from tests.hostile.bombs.films import film_of_a_png
from tests.support.sounds_in_containers import encode_in_container


def wav(
    samples: bytes = bytes(16_000),
    *,
    kind: int = 1,
    channels: int = 1,
    rate: int = 8000,
    align: int = 2,
    bits: int = 16,
    length: int | None = None,
    extra_chunks: bytes = b"",
) -> bytes:
    header = struct.pack("<HHIIHH", kind, channels, rate, rate * align % 2**32, align, bits)
    size = len(samples) if length is None else length
    body = (
        b"WAVE" + b"fmt " + struct.pack("<I", 16) + header + extra_chunks + b"data" + struct.pack("<I", size) + samples
    )
    return b"RIFF" + struct.pack("<I", min(len(body), 2**32 - 1)) + body


def floats(value: float) -> bytes:
    return wav(np.full(4000, value, "<f4").tobytes(), kind=3, align=4, bits=32)


def encoded(form: str, subtype: str, seconds: float = 2.0, rate: int = 8000, channels: int = 1) -> bytes:
    file, block = io.BytesIO(), np.zeros((rate, channels), np.float32)
    block[::50] = 0.25
    with soundfile.SoundFile(file, "w", rate, channels, subtype, format=form) as out:
        for _ in range(max(int(seconds), 1)):
            out.write(block)
    return file.getvalue()


def silence(seconds: int, rate: int, channels: int) -> bytes:
    """Silence as FLAC, which needs few bytes for it."""
    file, block = io.BytesIO(), np.zeros((rate, channels), np.int16)
    with soundfile.SoundFile(file, "w", rate, channels, "PCM_16", format="FLAC") as out:
        for _ in range(seconds):
            out.write(block)
    return file.getvalue()


def flac_total() -> bytes:
    """A FLAC whose STREAMINFO declares 2^36 - 1 samples."""
    data = bytearray(encoded("FLAC", "PCM_16"))
    data[8 + 13] |= 0x0F
    data[8 + 14 : 8 + 18] = b"\xff" * 4
    return bytes(data)


def ogg_granule() -> bytes:
    data = encoded("OGG", "VORBIS")
    last = data.rindex(b"OggS")
    return data[:last] + data[last : last + 6] + b"\x7f" + b"\xff" * 7 + data[last + 14 :]


def m4a_with(box: bytes, offset: int, number: int) -> bytes:
    """An m4a with another number in its index, `offset` bytes after the name and version of a box."""
    data = encode_in_container(np.zeros(8000), 8000, "mp4", "aac")
    start = data.index(box) + 4 + offset
    return data[:start] + struct.pack(">I", number) + data[start + 4 :]


RF64 = b"RF64\xff\xff\xff\xffWAVEds64\x1c\0\0\0" + struct.pack("<QQQI", 2**62, 2**62, 2**61, 0)
SOUNDS: dict[str, Callable[[], bytes]] = {
    "wav: a length of 4 GB": lambda: wav(length=2**32 - 1),
    "wav: a length of nothing": lambda: wav(length=0),
    "wav: no samples": lambda: wav(b""),
    "wav: 0 Hz": lambda: wav(rate=0),
    "wav: 4294967295 Hz": lambda: wav(rate=2**32 - 1),
    "wav: 1 Hz": lambda: wav(rate=1),
    "wav: no channel": lambda: wav(channels=0),
    "wav: 65535 channels": lambda: wav(channels=65_535, align=65_534),
    "wav: 0 bits": lambda: wav(bits=0),
    "wav: 65535 bits": lambda: wav(bits=65_535),
    "wav: blocks of 0 bytes": lambda: wav(align=0),
    "wav: samples that are no numbers": lambda: floats(float("nan")),
    "wav: samples that are infinite": lambda: floats(float("inf")),
    "wav: samples of 1e38": lambda: floats(1e38),
    "wav: 200000 chunks before the samples": lambda: wav(extra_chunks=b"LIST\x04\0\0\0INFO" * 200_000),
    "wav: a chunk of 4 GB before the samples": lambda: wav(extra_chunks=b"LIST\xff\xff\xff\xff"),
    "wav: cut off in its header": lambda: wav()[:30],
    "wav: blocks of 65535 bytes of ADPCM": lambda: wav(kind=17, align=65_535, bits=4),
    "wav: 8 channels at 192 kHz": lambda: wav(bytes(4_000_000), channels=8, rate=192_000, align=16),
    "rf64: a length of 2^62": lambda: RF64 + wav()[12:],
    "flac: cut off": lambda: encoded("FLAC", "PCM_16")[:-300],
    "flac: 2^36 samples": flac_total,
    "flac: 601 seconds": lambda: silence(601, 8000, 1),
    "flac: 200 seconds of 48 kHz in stereo": lambda: silence(200, 48_000, 2),
    "ogg: cut off": lambda: encoded("OGG", "VORBIS", 20)[:4000],
    "ogg: its last page says 2^63": ogg_granule,
    "ogg: Opus, cut off": lambda: encoded("OGG", "OPUS", 20, 48_000)[:3000],
    "ogg: an empty page a thousand times": lambda: (b"OggS\0\2" + bytes(20) + b"\1\0") * 1000,
    "mp3: cut off": lambda: encoded("MP3", "MPEG_LAYER_III", 20)[:3001],
    "mp3: a tag of 256 MB": lambda: b"ID3\3\0\0\x7f\x7f\x7f\x7f" + encoded("MP3", "MPEG_LAYER_III"),
    "m4a: 601 seconds": lambda: encode_in_container(np.zeros(601 * 8000), 8000, "mp4", "aac"),
    "m4a: 4294967295 samples": lambda: m4a_with(b"stsz", 8, 2**32 - 1),
    "m4a: 4294967295 frames of one duration": lambda: m4a_with(b"stts", 8, 2**32 - 1),
    "webm: cut off": lambda: encode_in_container(np.zeros(96_000), 48_000, "webm", "libopus")[:1500],
    "mov: a PNG in place of sound": lambda: film_of_a_png("mov", 4000),
    "aiff: a length of nothing": lambda: encoded("AIFF", "PCM_16").replace(b"SSND", b"SSND\0\0\0\0", 1),
    "mp3: beginnings of frames, and nothing else, behind zeros": lambda: bytes(9) + b"\xff\xfb\x90\x64" * 1_000_000,
    "mp3: nothing but beginnings of frames": lambda: b"\xff\xfb\x90\x64" * 200_000,
    "text instead of sound, in UTF-16": lambda: "no sound at all".encode("utf-16"),
}
