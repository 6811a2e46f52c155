from __future__ import annotations

import re

import pytest

from hearth_build.release.traffic_figures import Figures, Limits
from tests.export.release.traffic_lines import GOOD, MODEL, comparison, request


def test_other_lines_are_skipped() -> None:
    figures = Figures(MODEL, "1", "2")
    others = [request("3"), comparison(shadow="3"), comparison(model="other"), "{", "1", '{"message": "request"}']
    figures.add(["Serving 2 models", *others, *GOOD])
    assert {version: requests.count for version, requests in figures.requests.items()} == {"1": 5, "2": 5}
    assert figures.comparisons == 5


LIMITS = Limits(requests=10, errors=0.1, latency=1.5, agreement=0.9)


def figures(*lines: str) -> Figures:
    counted = Figures(MODEL, "1", "2")
    counted.add(lines)
    return counted


def test_durations_are_those_of_warm_successful_requests() -> None:
    slow = [request("2", 900.0, cold=True), request("2", 900.0, status=400), request("2", 900.0, status=503)]
    counted = figures(*[request("2", 10.0)] * 3, *slow)
    assert counted.requests["2"].p95 == 10.0
    assert (counted.requests["2"].count, counted.requests["2"].failures) == (6, 1)
    assert counted.requests["1"].p95 is None


def test_an_answer_of_another_version_is_a_failure() -> None:
    assert figures(request("2", version="1")).requests["2"].failures == 1


@pytest.mark.parametrize(
    ("lines", "violation"),
    [
        ([request("2", status=500)] * 2, "2 of 2 requests to version 2 failed; 10 % may"),
        ([request("2", status=500)], ""),
        ([comparison(0.4)] * 2, "agrees with version 1 in 40 % of 2 answers"),
        ([comparison(0.95)] * 20, ""),
        ([request("1", 10.0), request("2", 20.0)] * 10, "take 20.0 ms with version 2, 10.0 ms with version 1"),
        ([request("1", 10.0), request("2", 14.0)] * 10, ""),
        ([request("1", 10.0), request("2", 20.0)] * 9, ""),
    ],
)
def test_a_version_beyond_a_limit_must_go(lines: list[str], violation: str) -> None:
    sentence = LIMITS.violation(figures(*lines))
    assert re.search(violation, sentence) if violation else sentence == ""


def test_a_step_needs_requests_and_a_shadow_comparisons() -> None:
    some = figures(*[request("2")] * 10, *[comparison()] * 9)
    assert LIMITS.is_enough(some, share=0.1)
    assert not LIMITS.is_enough(some, share=0.0)
    assert str(some) == (
        "version 1: 0 requests, 0 failed; version 2: 10 requests, 0 failed, p95 10.0 ms; 100 % agreement of 9 answers"
    )
