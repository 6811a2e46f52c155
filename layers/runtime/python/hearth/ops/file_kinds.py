"""Recognises files by their first bytes."""

from __future__ import annotations

SIGNATURES = (
    ("JPEG", 0, b"\xff\xd8\xff"),
    ("PNG", 0, b"\x89PNG\r\n\x1a\n"),
    ("GIF", 0, b"GIF8"),
    ("TIFF", 0, b"II*\0"),
    ("TIFF", 0, b"MM\0*"),
    ("BigTIFF", 0, b"II+\0"),
    ("BigTIFF", 0, b"MM\0+"),
    ("WebP", 8, b"WEBP"),
    ("JPEG XL", 0, b"\xff\x0a"),
    ("JPEG XL", 4, b"JXL "),
    ("JPEG 2000", 4, b"jP  "),
    ("Photoshop", 0, b"8BPS"),
    ("WAV", 8, b"WAVE"),
    ("AVI", 8, b"AVI "),
    ("AIFF", 8, b"AIFF"),
    ("AIFF", 8, b"AIFC"),
    ("FLAC", 0, b"fLaC"),
    ("Ogg", 0, b"OggS"),
    ("CAF", 0, b"caff"),
    ("AU", 0, b".snd"),
    ("AMR", 0, b"#!AMR"),
    ("MP3", 0, b"ID3"),
    ("Matroska", 0, b"\x1a\x45\xdf\xa3"),
    ("Windows Media", 0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"),
    ("Flash video", 0, b"FLV\x01"),
    ("MPEG program stream", 0, b"\0\0\1\xba"),
    ("PDF", 0, b"%PDF"),
    ("zip", 0, b"PK\x03\x04"),
    ("gzip", 0, b"\x1f\x8b"),
    ("playlist", 0, b"#EXTM3U"),
    ("BMP", 0, b"BM"),
    ("RIFF", 0, b"RIFF"),
)
"""Name, offset and bytes; a name is what messages say."""
MP4_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide")
"""Possible first boxes of an MP4 or QuickTime file."""
AVIF_BRANDS = (b"avif", b"avis")
HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"mif2")
TS_PACKET, M2TS_PACKET = 188, 192
"""Bytes of a packet of an MPEG transport stream; cameras write four more bytes before each."""


def kind_of(data: bytes) -> str:
    """The name of a file's format; "text" for text, and "" if it is unknown."""
    for name, offset, signature in SIGNATURES:
        if data.startswith(signature, offset):
            return name
    if data[4:8] in MP4_BOXES:
        return _kind_of_brands(data)
    if data[:1] == b"\xff" and len(data) > 1 and data[1] & 0xE0 == 0xE0:
        return _kind_of_mpeg_audio(data[1])
    for size, offset in ((TS_PACKET, 0), (M2TS_PACKET, 4)):
        packets = data[offset : offset + 3 * size : size]
        if len(packets) > 1 and packets.strip(b"G") == b"":
            return "MPEG-TS"
    return _kind_of_text(data)


def describe(data: bytes, supported: str) -> str:
    """A sentence about a file that could not be opened, after the sentence `supported` that names formats."""
    kind = kind_of(data)
    if not kind:
        return f"{supported}; this file has an unknown format"
    if kind in supported:
        return f"{supported}; this file begins as {kind}, but could not be opened"
    return f"{supported}; this file is {kind}"


def _kind_of_brands(data: bytes) -> str:
    if data[4:8] != b"ftyp":
        return "MP4"
    size = min(int.from_bytes(data[:4], "big"), 256)
    brands = {data[8:12], *(data[start : start + 4] for start in range(16, size, 4))}
    if brands & set(AVIF_BRANDS):
        return "AVIF"
    return "HEIC" if data[8:12] in HEIC_BRANDS else "MP4"


def _kind_of_mpeg_audio(second: int) -> str:
    """MP3 or AAC, whose frames begin alike; layer 0 is AAC, and version 1 does not exist."""
    if second >> 1 & 3 == 0:
        return "AAC" if second & 0xF0 == 0xF0 else ""
    return "" if second >> 3 & 3 == 1 else "MP3"


def _kind_of_text(data: bytes) -> str:
    start = data[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<svg", b"<?xml")):
        return "SVG or XML"
    if start.startswith((b"<!doctype html", b"<html")):
        return "HTML"
    return "text" if start and all(byte >= 32 or byte in b"\t\r\n" for byte in start) and start.isascii() else ""
