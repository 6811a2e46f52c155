"""Subtitles from words and their times. A line ends where the speaker pauses, and before it becomes too long.

Subtitling guides allow 42 characters and 7 seconds per line (BBC Subtitle Guidelines, sections 5 and 6).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

MAX_CHARACTERS, MAX_SECONDS, PAUSE_SECONDS = 42, 7.0, 1.0


@dataclass(frozen=True)
class TimedWord:
    text: str
    start: float
    """Seconds, as is `end`."""
    end: float


def to_lines(words: Sequence[TimedWord]) -> list[list[TimedWord]]:
    """Split the words into lines."""
    lines: list[list[TimedWord]] = []
    for word in words:
        if lines and _fits(lines[-1], word):
            lines[-1].append(word)
        else:
            lines.append([word])
    return lines


def _fits(line: Sequence[TimedWord], word: TimedWord) -> bool:
    """Whether `word` fits on the line that ends before it."""
    length = sum(len(other.text) + 1 for other in line) + len(word.text)
    if length > MAX_CHARACTERS or word.start - line[-1].end > PAUSE_SECONDS:
        return False
    return word.end - line[0].start <= MAX_SECONDS


def format_time(seconds: float, separator: str) -> str:
    """hh:mm:ss, then milliseconds after `separator`."""
    total = round(seconds * 1000)
    return f"{total // 3_600_000:02}:{total // 60_000 % 60:02}:{total // 1000 % 60:02}{separator}{total % 1000:03}"


def to_srt(lines: Sequence[Sequence[TimedWord]]) -> str:
    return "\n".join(f"{number}\n{_block(line, ',')}" for number, line in enumerate(lines, 1))


def to_vtt(lines: Sequence[Sequence[TimedWord]]) -> str:
    return "WEBVTT\n\n" + "\n".join(_block(line, ".") for line in lines)


def _block(line: Sequence[TimedWord], separator: str) -> str:
    text = " ".join(word.text for word in line)
    return f"{format_time(line[0].start, separator)} --> {format_time(line[-1].end, separator)}\n{text}\n"
