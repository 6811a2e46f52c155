"""Words with their times as lines to read: cut where the speaker pauses, and before a line grows too long.

42 characters and 7 seconds are what subtitling guides allow a line (BBC Subtitle Guidelines, sections 5 and 6).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

LONGEST, SECONDS, PAUSE = 42, 7.0, 1.0


@dataclass(frozen=True)
class Spoken:
    text: str
    start: float
    """Seconds; `end` too."""
    end: float


def lines(words: Sequence[Spoken]) -> list[list[Spoken]]:
    """The words of each line."""
    found: list[list[Spoken]] = []
    for word in words:
        line = found[-1] if found else []
        length = sum(len(one.text) + 1 for one in line) + len(word.text)
        if not line or length > LONGEST or word.end - line[0].start > SECONDS or word.start - line[-1].end > PAUSE:
            found.append([word])
        else:
            line.append(word)
    return found


def clock(seconds: float, comma: str) -> str:
    """hh:mm:ss and milliseconds after `comma`."""
    total = round(seconds * 1000)
    return f"{total // 3_600_000:02}:{total // 60_000 % 60:02}:{total // 1000 % 60:02}{comma}{total % 1000:03}"


def srt(words: Sequence[Spoken]) -> str:
    return "\n".join(f"{number}\n{_block(line, ',')}" for number, line in enumerate(lines(words), 1))


def vtt(words: Sequence[Spoken]) -> str:
    return "WEBVTT\n\n" + "\n".join(_block(line, ".") for line in lines(words))


def _block(line: Sequence[Spoken], comma: str) -> str:
    text = " ".join(word.text for word in line)
    return f"{clock(line[0].start, comma)} --> {clock(line[-1].end, comma)}\n{text}\n"
