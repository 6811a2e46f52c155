"""Unique strings, and every form in which they may appear in output."""

from __future__ import annotations

import base64
import functools
import re
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from urllib.parse import quote

PLAIN, LETTERS = "bcdfghjkmnpqrstvwxz23456789", "жщфюйцъэяыбдпвкгзлмн"
WINDOW = 8
"""Number of characters that identify a canary."""


@dataclass(frozen=True)
class Canary:
    plain: str
    """16 lowercase letters and digits."""
    letters: str
    """8 letters that JSON, URLs and Latin-1 escape or corrupt."""

    def word(self, number: int) -> str:
        """The text of request `number`."""
        return f"{self.plain}.{number:06d} {self.letters}"


def canary(seed: int) -> Canary:
    random = Random(seed)
    return Canary("".join(random.sample(PLAIN, 16)), "".join(random.sample(LETTERS, 8)))


def _base64(data: bytes) -> list[bytes]:
    """The base64 characters at each of the three offsets that do not depend on the bytes before and after."""
    needles = []
    for offset, (first, last) in enumerate(((0, 2), (2, 1), (3, 0))):
        text = base64.b64encode(b"\0" * offset + data).rstrip(b"=")
        stable = text[first : len(text) - (1 if last else 0)]
        needles += [stable, stable.translate(bytes.maketrans(b"+/", b"-_"))]
    return needles


FORMS: dict[str, Callable[[str], list[bytes]]] = {
    "plain": lambda window: [window.encode()],
    "utf-16": lambda window: [window.encode("utf-16-le"), window.encode("utf-16-be")],
    "hex": lambda window: [window.encode().hex().encode()],
    "url": lambda window: [quote(window).encode(), "".join(f"%{byte:02x}" for byte in window.encode()).encode()],
    "json": lambda window: ["".join(f"\\u{ord(letter):04x}" for letter in window).encode()],
    "escaped bytes": lambda window: ["".join(f"\\x{byte:02x}" for byte in window.encode()).encode()],
    "base64": lambda window: _base64(window.encode()),
    "mojibake": lambda window: [window.encode().decode("latin-1").encode()],
    "reversed": lambda window: [window[::-1].encode()],
}


@functools.cache
def needles(seed: int) -> dict[bytes, str]:
    """Every form, in lowercase, of every window of the canary; the values are the names of the forms."""
    source, forms = canary(seed), {}
    half = WINDOW // 2
    windows = [source.plain[start : start + WINDOW] for start in range(len(source.plain) - WINDOW + 1)]
    windows += [source.letters[start : start + half] for start in range(len(source.letters) - half + 1)]
    for window in windows:
        for form, make in FORMS.items():
            for needle in make(window):
                forms.setdefault(needle.lower(), form)
    return forms


@dataclass(frozen=True)
class Hit:
    form: str
    around: str
    """The text around the canary."""

    @property
    def number(self) -> str:
        """Number of the request, if the canary is complete."""
        match = re.search(r"\.(\d{6}) ", self.around)
        return match[1] if match else "?"


def search(data: bytes, seed: int, maximum: int = 50) -> list[Hit]:
    """Up to `maximum` places in `data` with a canary in any form, at least 300 bytes apart."""
    hits: list[Hit] = []
    lowercase, positions = data.lower(), list[int]()
    for needle, form in needles(seed).items():
        position = lowercase.find(needle)
        while position >= 0 and len(hits) < maximum:
            if all(abs(position - other) > 300 for other in positions):
                positions.append(position)
                hits.append(Hit(form, data[max(position - 150, 0) : position + 100].decode("utf-8", "replace")))
            position = lowercase.find(needle, position + 300)
    return hits
