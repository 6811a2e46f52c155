"""The short form of `python -m tests.privacy.canary`."""

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
    *("the next caller's response", "dead letters", "temporary files", "tmp folder", "cache folder"),
    "traces",
)
"""Channels in which the leaking handler leaks."""


def test_client_data_appears_only_in_responses() -> None:
    result = run(400, SEED)
    assert not result.leaks
    assert len([status for status in result.statuses if status >= 400]) > 4, result.statuses
    assert result.channels["dead letters"] > 1000, result.channels
    for channel in (
        "log lines",
        "metrics",
        "records",
        "headers, Server-Timing",
        "errors",
        "the next caller's response",
        "audit",
        "traces",
    ):
        assert result.channels[channel] > 10_000, result.channels
    assert result.channels["sketches"] > 1000, result.channels


def test_a_leaking_handler_is_detected_in_every_channel() -> None:
    assert run(250, SEED, leaking=True).leaking_channels() >= set(CHANNELS)


TEXT = canary(SEED).word(7)


@pytest.mark.parametrize(
    "form",
    [
        TEXT,
        TEXT.upper(),
        TEXT[3:12],
        TEXT[-5:],
        repr(TEXT.encode()),
        json.dumps(TEXT[-8:]),
        "".join(f"\\u{ord(letter):04x}" for letter in TEXT[:10]),
        quote(TEXT[-8:]),
        TEXT.encode().hex(),
        TEXT.encode().decode("latin-1")[-16:],
        TEXT[::-1],
        *(base64.b64encode(b"x" * offset + TEXT.encode()).decode() for offset in range(3)),
        *(base64.urlsafe_b64encode(b"x" * offset + TEXT[-8:].encode()).decode() for offset in range(3)),
        *(TEXT.encode(kind).decode("latin-1") for kind in ("utf-16-le", "utf-16-be")),
    ],
)
def test_the_search_finds_every_form(form: str) -> None:
    text = f"a line with {form} in it"
    assert search(text.encode("latin-1", "ignore") if form.isascii() or "\0" in form else text.encode(), SEED)
    assert not search(b"a line with nothing in it " * 1000, SEED)
