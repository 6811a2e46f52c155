"""Indices that no recorder writes are noticed before a demuxer reads them."""

from __future__ import annotations

import pytest

from hearth.ops.vision.mp4_index import MAX_SAMPLES, MAX_TRACKS, has_plausible_index


def box(name: bytes, content: bytes = b"", size: int | None = None) -> bytes:
    return (len(content) + 8 if size is None else size).to_bytes(4, "big") + name + content


def stsz(samples: int) -> bytes:
    return box(b"stsz", bytes(8) + samples.to_bytes(4, "big"))


def trun(samples: int) -> bytes:
    return box(b"trun", bytes(4) + samples.to_bytes(4, "big"))


@pytest.mark.parametrize(
    ("index", "plausible"),
    [
        (b"", True),
        (stsz(MAX_SAMPLES), True),
        (stsz(MAX_SAMPLES + 1), False),
        (box(b"stz2", bytes(8) + (2**31).to_bytes(4, "big")), False),
        (trun(MAX_SAMPLES), True),
        (trun(MAX_SAMPLES + 1), False),
        (stsz(MAX_SAMPLES // 2) + trun(MAX_SAMPLES // 2), True),
        (stsz(MAX_SAMPLES // 2) + trun(MAX_SAMPLES // 2 + 1), False),
        (box(b"trak") * MAX_TRACKS, True),
        (box(b"trak") * (MAX_TRACKS + 1), False),
        (box(b"cmov"), False),
    ],
)
def test_the_whole_index_is_counted(index: bytes, plausible: bool) -> None:
    for file in (
        box(b"ftyp") + box(b"moov", index),
        box(b"ftyp") + box(b"mdat", b"x" * 50) + box(b"moov", index),
        box(b"moov", index) + box(b"mdat", b"x" * 50),
        index,
    ):
        assert has_plausible_index(file) is plausible


def test_media_may_hold_any_bytes() -> None:
    poison = stsz(2**31) + box(b"cmov")
    assert has_plausible_index(box(b"mdat", poison) + box(b"moov", stsz(1)))
    assert has_plausible_index(box(b"moov", stsz(1)) + box(b"mdat", poison, size=0))
    long = (1).to_bytes(4, "big") + b"mdat" + (len(poison) + 16).to_bytes(8, "big") + poison
    assert has_plausible_index(long + box(b"moov", stsz(1)))
    assert not has_plausible_index(long + box(b"moov", poison))


def test_a_file_that_is_cut_or_malformed_is_searched_to_its_end() -> None:
    assert not has_plausible_index(box(b"free", size=3) + stsz(2**31))
    assert not has_plausible_index(box(b"free", size=0) + stsz(2**31))
    assert has_plausible_index(b"stsz")
    assert has_plausible_index(b"")
