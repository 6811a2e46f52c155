"""Unique strings, and every form in which they may come to light again."""

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
"""Bytes of a canary that give it away."""


@dataclass(frozen=True)
class Canary:
    plain: str
    """16 small letters and digits."""
    letters: str
    """8 letters that JSON, URLs and Latin-1 escape or break."""

    def word(self, number: int) -> str:
        """What request `number` says."""
        return f"{self.plain}.{number:06d} {self.letters}"


def canary(seed: int) -> Canary:
    random = Random(seed)
    return Canary("".join(random.sample(PLAIN, 16)), "".join(random.sample(LETTERS, 8)))


def _base64(data: bytes) -> list[bytes]:
    """What is the same at each of the three offsets, whatever stands before and after."""
    found = []
    for offset, (first, last) in enumerate(((0, 2), (2, 1), (3, 0))):
        text = base64.b64encode(b"\0" * offset + data).rstrip(b"=")
        whole = text[first : len(text) - (1 if last else 0)]
        found += [whole, whole.translate(bytes.maketrans(b"+/", b"-_"))]
    return found


FORMS: dict[str, Callable[[str], list[bytes]]] = {
    "as it is": lambda part: [part.encode()],
    "utf-16": lambda part: [part.encode("utf-16-le"), part.encode("utf-16-be")],
    "hex": lambda part: [part.encode().hex().encode()],
    "url": lambda part: [quote(part).encode(), "".join(f"%{byte:02x}" for byte in part.encode()).encode()],
    "json": lambda part: ["".join(f"\\u{ord(letter):04x}" for letter in part).encode()],
    "escaped bytes": lambda part: ["".join(f"\\x{byte:02x}" for byte in part.encode()).encode()],
    "base64": lambda part: _base64(part.encode()),
    "mojibake": lambda part: [part.encode().decode("latin-1").encode()],
    "backwards": lambda part: [part[::-1].encode()],
}


@functools.cache
def needles(seed: int) -> dict[bytes, str]:
    """Every form, in small letters, of every eight bytes of the canary; what each is called."""
    wanted, found = canary(seed), {}
    half = WINDOW // 2
    parts = [wanted.plain[at : at + WINDOW] for at in range(len(wanted.plain) - WINDOW + 1)]
    parts += [wanted.letters[at : at + half] for at in range(len(wanted.letters) - half + 1)]
    for part in parts:
        for form, make in FORMS.items():
            for needle in make(part):
                found.setdefault(needle.lower(), form)
    return found


@dataclass(frozen=True)
class Hit:
    form: str
    around: str
    """What stands there."""

    @property
    def number(self) -> str:
        """Of the request, where the canary is whole."""
        found = re.search(r"\.(\d{6}) ", self.around)
        return found[1] if found else "?"


def search(data: bytes, seed: int, most: int = 50) -> list[Hit]:
    """The places in `data` where a canary is, in one form or another, at least 300 bytes from each other."""
    found: list[Hit] = []
    small, taken = data.lower(), list[int]()
    for needle, form in needles(seed).items():
        at = small.find(needle)
        while at >= 0 and len(found) < most:
            if all(abs(at - other) > 300 for other in taken):
                taken.append(at)
                found.append(Hit(form, data[max(at - 150, 0) : at + 100].decode("utf-8", "replace")))
            at = small.find(needle, at + 300)
    return found
