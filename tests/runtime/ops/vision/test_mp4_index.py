"""Indices that no recorder writes are noticed before a demuxer reads them."""

from __future__ import annotations

from typing import Any

import pytest

from hearth.ops.vision.mp4_index import MAX_ENTRIES, MAX_TRACKS, PLAIN_SAMPLES, has_plausible_index


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
        (stsz(MAX_ENTRIES), True),
        (stsz(MAX_ENTRIES + 1), False),
        (box(b"stz2", bytes(8) + (2**31).to_bytes(4, "big")), False),
        (trun(MAX_ENTRIES), True),
        (trun(MAX_ENTRIES + 1), False),
        (stsz(MAX_ENTRIES // 2) + trun(MAX_ENTRIES // 2), True),
        (stsz(MAX_ENTRIES // 2) + trun(MAX_ENTRIES // 2 + 1), False),
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


def plain_sound(samples: int, *, size: int = 4, tick: int = 1, handler: bytes = b"soun", more: bytes = b"") -> bytes:
    """A track of sound as QuickTime writes it, in which each moment is a sample of `size` bytes."""
    numbers = bytes(4), size.to_bytes(4, "big"), samples.to_bytes(4, "big")
    durations = bytes(4), (1).to_bytes(4, "big"), samples.to_bytes(4, "big"), tick.to_bytes(4, "big")
    handlers = box(b"hdlr", bytes(8) + handler) + box(b"hdlr", bytes(8) + b"url ")
    return box(b"trak", handlers + box(b"stts", b"".join(durations)) + box(b"stsz", b"".join(numbers)) + more)


def test_plain_sound_is_counted_in_groups() -> None:
    most = MAX_ENTRIES * PLAIN_SAMPLES
    assert has_plausible_index(box(b"moov", plain_sound(most)))
    assert not has_plausible_index(box(b"moov", plain_sound(most + 1)))
    assert not has_plausible_index(box(b"moov", plain_sound(most) + plain_sound(1)))


@pytest.mark.parametrize(
    "change",
    [
        {"size": 0},
        {"tick": 2},
        {"handler": b"vide"},
        {"handler": b"text"},
        *(
            {"more": more}
            for more in (
                box(b"stts", bytes(4) + (2).to_bytes(4, "big") + bytes(8)),
                box(b"hdlr", bytes(8) + b"vide"),
                stsz(1),
                trun(1),
            )
        ),
    ],
)
def test_what_only_looks_like_plain_sound_counts_each_sample(change: dict[str, Any]) -> None:
    assert not has_plausible_index(box(b"moov", plain_sound(MAX_ENTRIES + 1, **change)))


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
