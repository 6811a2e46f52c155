"""Rollouts: raised step by step, promoted, rolled back for each reason, interrupted, and disturbed by others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from hearth.errors import BadRequest, NotFound
from hearth.models.registry import Alias, Split
from hearth.storage.base import Store
from hearth.storage.open import open_store
from hearth_build.release import aliases
from hearth_build.release.rollout import FileLog, Plan, RolledBack, Rollout
from hearth_build.release.traffic_figures import Limits
from tests.export.release.traffic_lines import GOOD, MODEL, comparison, request
from tests.support.artifacts import make_text_artifact

PLAN = Plan(MODEL, "prod", "2", (0.0, 0.1, 0.5), 1.0, 60, 600, Limits(20, 0.05, 1.5, 0.9))


class Service:
    """A service that is being watched: its clock, and the lines that it logs with each share."""

    def __init__(self, store: Store, lines: Callable[[float], Sequence[str]]) -> None:
        self.store, self.lines = store, lines
        self.now, self.seen = 0.0, list[float]()

    def read(self) -> Sequence[str]:
        canary = aliases.read_alias(self.store, MODEL, "prod").canary
        assert canary
        if not self.seen or self.seen[-1] != canary.share:
            self.seen.append(canary.share)
        return self.lines(canary.share)

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def roll_out(self, plan: Plan = PLAN) -> tuple[Alias, list[str]]:
        reports = list[str]()
        rollout = Rollout(self.store, self, plan, reports.append, lambda: self.now, self.sleep)
        return rollout.run(), reports


@pytest.fixture
def store(tmp_path: Path) -> Store:
    for version in "123":
        make_text_artifact(tmp_path, MODEL, version)
    opened = open_store(tmp_path.as_uri())
    aliases.set_alias(opened, MODEL, "prod", "1")
    return opened


def test_a_good_version_gets_all_callers_step_by_step(store: Store) -> None:
    service = Service(store, lambda share: GOOD)
    promoted, reports = service.roll_out()
    assert promoted == aliases.read_alias(store, MODEL, "prod") == Alias("2")
    assert service.seen == [0.0, 0.1, 0.5]
    assert service.now >= 3 * PLAN.seconds
    assert "10 % of the callers get version 2." in reports
    assert any("0 failed, p95 10.0 ms; 100 % agreement of" in text for text in reports), reports


@pytest.mark.parametrize(
    ("bad", "reason", "share"),
    [
        ([request("2", status=503)], "requests to version 2 failed; 5 % may", 0.1),
        ([request("2", version="1")], "requests to version 2 failed", 0.1),
        ([request("2", 16.0)] * 10, "95 % of the requests take 16.0 ms with version 2, 10.0 ms with", 0.1),
        ([comparison(0.5)] * 2, "agrees with version 1 in", 0.0),
        ([comparison(error="bad_request", agreement=0.0)], "agrees with version 1 in", 0.0),
    ],
)
def test_a_worse_version_is_rolled_back(store: Store, bad: list[str], reason: str, share: float) -> None:
    service = Service(store, lambda now: GOOD + (bad if now == share else []))
    with pytest.raises(RolledBack, match="Rolled back to version 1") as failure:
        service.roll_out()
    assert reason in failure.value.message
    assert service.seen[-1] == share
    assert aliases.read_alias(store, MODEL, "prod") == Alias("1")


def test_a_single_failure_and_cold_starts_are_no_reason(store: Store) -> None:
    lines = [request("2", 900.0, cold=True), request("2", status=400)]
    first = iter([[request("2", status=500)]])
    service = Service(store, lambda share: [*GOOD, *lines, *next(first, [])])
    assert service.roll_out()[0] == Alias("2")


def test_without_requests_nothing_is_learned_and_it_is_rolled_back(store: Store) -> None:
    service = Service(store, lambda share: [request("1")] * 5 + [comparison()] * 5)
    with pytest.raises(RolledBack, match=r"fewer than 20 requests to judge by.*X-Hearth-Session"):
        service.roll_out()
    assert service.now >= PLAN.wait_seconds
    assert aliases.read_alias(store, MODEL, "prod") == Alias("1")


def test_without_a_bound_of_agreement_there_is_no_shadow(store: Store) -> None:
    service = Service(store, lambda share: [request("1"), request("2")])
    reports = service.roll_out(replace(PLAN, shares=(0.1,), limits=Limits(20, 0.05, 1.5, 0)))[1]
    assert "agreement" not in " ".join(reports)


def test_an_interrupted_rollout_goes_on_where_it_was(store: Store) -> None:
    aliases.set_canary(store, MODEL, "prod", "2", 0.5)
    service = Service(store, lambda share: GOOD)
    service.roll_out()
    assert service.seen == [0.5]
    aliases.set_alias(store, MODEL, "prod", "1")
    aliases.set_canary(store, MODEL, "prod", "2", 0.7)  # more than the last step: it is watched all the same
    service = Service(store, lambda share: GOOD)
    service.roll_out()
    assert service.seen == [0.7]


def test_others_who_change_the_alias_end_the_rollout(store: Store) -> None:
    def disturb(share: float) -> Sequence[str]:
        if share:
            aliases.set_alias(store, MODEL, "prod", "3")
        return GOOD

    with pytest.raises(BadRequest, match="was changed meanwhile and is version 3"):
        Service(store, disturb).roll_out()
    assert aliases.read_alias(store, MODEL, "prod") == Alias("3")
    aliases.set_canary(store, MODEL, "prod", "1", 0.1)
    with pytest.raises(BadRequest, match="end that first"):
        Service(store, lambda share: GOOD).roll_out()
    assert aliases.read_alias(store, MODEL, "prod").canary == Split("1", 0.1)


def test_a_log_file_is_read_from_its_end_on(tmp_path: Path) -> None:
    path = tmp_path / "serve.log"
    with pytest.raises(NotFound, match="hearth serve"):
        FileLog(path)
    path.write_text("old\n")
    log = FileLog(path)
    with path.open("a") as file:
        file.write("first\nhal")
    assert log.read() == ["first"]
    with path.open("a") as file:
        file.write("f\n")
    assert log.read() == ["half"]
    assert log.read() == []
    path.write_text("new\n")  # rotated
    assert log.read() == ["new"]
