"""The first frame of an MP3 is found behind other bytes, and nowhere else."""

from __future__ import annotations

import pytest

from hearth.ops.audio.mp3_frames import SEARCHED_BYTES, skip_to_frames
from tests.runtime.tasks.test_audio_file import encode_audio, tone

MPEG1, MPEG2, MPEG25 = 3, 2, 0
LAYER1, LAYER2, LAYER3 = 3, 2, 1


def frame(
    size: int, bits: int = 9, version: int = MPEG1, layer: int = LAYER3, rate: int = 0, padding: int = 0
) -> bytes:
    """A frame of `size` bytes without sound, whose header has the index of its bit rate."""
    header = bytes((0xFF, 0xE1 | version << 3 | layer << 1, bits << 4 | rate << 2 | padding << 1, 0))
    return header.ljust(size, b"\0")


@pytest.mark.parametrize(
    "one",
    [
        frame(417),  # 144 * 128,000 / 44,100
        frame(418, padding=1),
        frame(384, rate=1),
        frame(1440, bits=14, rate=2),  # 320 kbit/s, 32 kHz
        frame(208, bits=8, version=MPEG2),  # 72 * 64,000 / 22,050
        frame(72, bits=1, version=MPEG25, rate=2),  # 8 kbit/s, 8 kHz
        frame(522, bits=9, layer=LAYER2, rate=0),  # 160 kbit/s
        frame(104, bits=3, layer=LAYER1),  # 96 kbit/s: 12 * 96,000 / 44,100 slots of four bytes
        frame(108, bits=3, layer=LAYER1, padding=1),
    ],
)
def test_frames_of_each_kind_follow_one_another(one: bytes) -> None:
    sound = one * 6
    assert skip_to_frames(sound) == sound
    assert skip_to_frames(b"junk \xff\xfb\x90\x00 junk" + sound) == sound
    assert skip_to_frames(one * 3) == one * 3, "the file ends before the fourth"
    assert skip_to_frames((one + b"x") * 6) == b"", "no frame follows where it should"


@pytest.mark.parametrize("wrong", [frame(417, bits=15), frame(417, bits=0), frame(417, rate=3), frame(417, version=1)])
def test_reserved_values_are_no_frames(wrong: bytes) -> None:
    assert skip_to_frames(wrong * 6) == b""


def test_frames_change_their_bit_rate_but_not_their_kind() -> None:
    assert skip_to_frames(frame(417) + frame(522, bits=10) + frame(417) * 2)
    other = frame(208, bits=8, version=MPEG2)
    assert skip_to_frames(frame(417) + other + frame(417) * 2) == frame(417) * 2


def test_a_tag_is_skipped_by_its_size() -> None:
    sound = frame(417) * 5
    tag = b"ID3\x04\0\0" + bytes((0, 0, 2, 1))  # 257 bytes follow
    assert skip_to_frames(tag + frame(257) + sound) == sound
    assert skip_to_frames(b"ID3\x04\0\0\x7f\x7f\x7f\x7f" + sound) == sound, "a size beyond the file is not believed"
    assert skip_to_frames(b"ID3") == b""


def test_frames_are_not_searched_without_end() -> None:
    sound = frame(417) * 5
    assert skip_to_frames(bytes(SEARCHED_BYTES - 2) + sound) == sound
    assert skip_to_frames(bytes(SEARCHED_BYTES - 1) + sound) == b""


def test_an_encoded_file_is_found() -> None:
    sound = encode_audio(tone(44_100), 44_100, "MP3", "MPEG_LAYER_III")
    assert skip_to_frames(b"\0" * 100 + sound) == skip_to_frames(sound)
    assert len(skip_to_frames(sound)) > 1000
