"""Subtitles: lines of readable length, and the times of both formats."""

from __future__ import annotations

import pytest

from hearth.ops.audio.subtitles import TimedWord, format_time, to_lines, to_srt, to_vtt


def words(*texts: str, seconds: float = 0.5, pause: float = 0.0) -> list[TimedWord]:
    step = seconds + pause
    return [TimedWord(text, number * step, number * step + seconds) for number, text in enumerate(texts)]


def lines(entries: list[TimedWord]) -> list[str]:
    return [" ".join(word.text for word in line) for line in to_lines(entries)]


def test_a_line_has_at_most_42_characters() -> None:
    assert lines(words("a" * 20, "b" * 21)) == ["a" * 20 + " " + "b" * 21]
    assert lines(words("a" * 20, "b" * 22)) == ["a" * 20, "b" * 22]
    assert lines(words("a" * 60, "b")) == ["a" * 60, "b"]


def test_a_line_ends_at_a_pause() -> None:
    assert lines(words("a", "b", pause=1.0)) == ["a b"]
    assert lines(words("a", "b", pause=1.01)) == ["a", "b"]


def test_a_line_lasts_at_most_seven_seconds() -> None:
    assert lines(words("a", "b", seconds=3.5)) == ["a b"]
    assert lines(words("a", "b", seconds=3.51)) == ["a", "b"]
    assert lines([]) == []


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "00:00:00,000"),
        (1.0006, "00:00:01,001"),
        (59.9996, "00:01:00,000"),
        (3661.25, "01:01:01,250"),
        (360_000, "100:00:00,000"),
    ],
)
def test_times_have_milliseconds(seconds: float, text: str) -> None:
    assert format_time(seconds, ",") == text
    assert format_time(seconds, ".") == text.replace(",", ".")


def test_both_formats_have_a_block_per_line() -> None:
    entries = to_lines(words("one", "two", pause=2))
    assert to_srt(entries) == ("1\n00:00:00,000 --> 00:00:00,500\none\n\n2\n00:00:02,500 --> 00:00:03,000\ntwo\n")
    assert to_vtt(entries) == ("WEBVTT\n\n00:00:00.000 --> 00:00:00.500\none\n\n00:00:02.500 --> 00:00:03.000\ntwo\n")
    assert (to_srt([]), to_vtt([])) == ("", "WEBVTT\n\n")
