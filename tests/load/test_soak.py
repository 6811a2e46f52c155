"""The short form of `python -m tests.load.soak`, and its rules."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.load.soak import CACHE_MB, Sample, environment, growing, soak

MEGABYTE = 2**20


@pytest.mark.parametrize("leaking", [False, True])
def test_a_leaking_handler_grows_and_ours_does_not(python_of_lambda: Path, leaking: bool) -> None:
    with environment(leaking=leaking) as emulator:
        samples, statuses = soak(emulator, 240, 2)
    assert {200, 400, 404} <= set(statuses), statuses
    assert max(statuses) < 500, statuses
    assert growing(samples) == ({"memory", "descriptors", "scratch"} if leaking else set()), samples


def _samples(memory: int = 0, descriptors: int = 0, cache: int = 0, scratch: int = 0) -> list[Sample]:
    """Forty samples; each has this much more than the one before."""
    return [
        Sample(number, 90 * MEGABYTE + number * memory, 9 + number * descriptors, number * cache, number * scratch)
        for number in range(40)
    ]


@pytest.mark.parametrize(
    ("samples", "grew"),
    [
        (_samples(), set()),
        (_samples(memory=MEGABYTE // 64), set()),
        (_samples(memory=MEGABYTE // 4), {"memory"}),
        (_samples(descriptors=1), {"descriptors"}),
        (_samples(scratch=1), {"scratch"}),
        (_samples(cache=CACHE_MB * MEGABYTE // 20), {"cache"}),
    ],
)
def test_growing_resources_are_detected(samples: list[Sample], grew: set[str]) -> None:
    assert growing(samples) == grew
