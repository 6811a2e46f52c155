"""Short forms of `python -m tests.privacy.canary`."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote

import pytest

from tests.privacy.canary import run
from tests.privacy.needles import canary, search

SEED = 3
CHANNELS = (
    *("log lines", "metrics", "stdout", "stderr", "records", "headers, Server-Timing", "errors"),
    *("the next caller's answer", "dead letters", "temporary files", "tmp folder", "cache folder"),
)
"""Where the leaking handler leaks."""


def test_nothing_of_what_clients_say_is_seen_elsewhere() -> None:
    found = run(400, SEED)
    assert not found.found
    assert len([status for status in found.statuses if status >= 400]) > 4, found.statuses
    assert found.channels["dead letters"] > 1000, found.channels
    for channel in (
        "log lines",
        "metrics",
        "records",
        "headers, Server-Timing",
        "errors",
        "the next caller's answer",
        "audit",
    ):
        assert found.channels[channel] > 10_000, found.channels


def test_a_handler_that_leaks_is_caught_in_every_channel() -> None:
    assert run(250, SEED, leaking=True).caught() >= set(CHANNELS)


WORD = canary(SEED).word(7)


@pytest.mark.parametrize(
    "seen",
    [
        WORD,
        WORD.upper(),
        WORD[3:12],
        WORD[-5:],
        repr(WORD.encode()),
        json.dumps(WORD[-8:]),
        "".join(f"\\u{ord(letter):04x}" for letter in WORD[:10]),
        quote(WORD[-8:]),
        WORD.encode().hex(),
        WORD.encode().decode("latin-1")[-16:],
        WORD[::-1],
        *(base64.b64encode(b"x" * offset + WORD.encode()).decode() for offset in range(3)),
        *(base64.urlsafe_b64encode(b"x" * offset + WORD[-8:].encode()).decode() for offset in range(3)),
        *(WORD.encode(kind).decode("latin-1") for kind in ("utf-16-le", "utf-16-be")),
    ],
)
def test_the_search_knows_every_form(seen: str) -> None:
    text = f"a line with {seen} in it"
    assert search(text.encode("latin-1", "ignore") if seen.isascii() or "\0" in seen else text.encode(), SEED)
    assert not search(b"a line with nothing in it " * 1000, SEED)
