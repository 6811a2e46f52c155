"""Files are recognised by their first bytes, whatever their names."""

from __future__ import annotations

import pytest

from hearth.ops.file_kinds import SIGNATURES, describe, kind_of


@pytest.mark.parametrize(("name", "offset", "signature"), SIGNATURES)
def test_every_signature_is_recognised_at_its_place(name: str, offset: int, signature: bytes) -> None:
    assert kind_of(bytes(offset) + signature + bytes(20)) == name


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"\0\0\0\x18ftypisom\0\0\0\0isommp41", "MP4"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0avifmiaf", "AVIF"),
        (b"\0\0\0\x18ftypavif\0\0\0\0mif1miaf", "AVIF"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
        (b"\0\0\0\x18ftypisom\0\0\0\0heicavi1", "MP4"),
        (b"\0\0\0\x08moov", "MP4"),
        (b"\xff\xfb\x90\0", "MP3"),
        (b"\xff\xf1\x50\x80", "AAC"),
        (b"\xff\xea\0\0", ""),
        (b"\xff\xe1\0\0", ""),
        (b"\xff", ""),
        ((b"G" + bytes(187)) * 3, "MPEG-TS"),
        ((bytes(4) + b"G" + bytes(187)) * 3, "MPEG-TS"),
        (b"G" + bytes(100), ""),
        (b"hello\r\n\tworld", "text"),
        (b"\xef\xbb\xbf <svg>", "SVG or XML"),
        (b"<?XML version='1.0'?>", "SVG or XML"),
        (b"\n<!DOCTYPE HTML>", "HTML"),
        (b"<html>", "HTML"),
        ("übel".encode(), ""),
        (b"text\0", ""),
        (b"", ""),
        (b"   ", ""),
    ],
)
def test_other_kinds_are_told_apart(data: bytes, kind: str) -> None:
    assert kind_of(data) == kind


def test_a_message_names_what_was_sent() -> None:
    supported = "The picture must be JPEG or PNG"
    assert describe(b"%PDF-1.7", supported) == "The picture must be JPEG or PNG; this file is PDF"
    assert describe(b"\xff\xd8\xff", supported).endswith("; this file begins as JPEG, but could not be opened")
    assert describe(b"\0\1\2", supported).endswith("; this file has an unknown format")
