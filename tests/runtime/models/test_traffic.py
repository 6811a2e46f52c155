"""How an alias with shares chooses: within the bounds of chance, the same for a session, only for requests."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator

import pytest

from hearth.auth import api_keys
from hearth.models.registry import Alias, Split
from hearth.models.traffic import choose, point

CALLERS = 10_000


@pytest.fixture(autouse=True)
def no_session() -> Iterator[None]:
    token = api_keys._session.set(None)
    yield
    api_keys._session.reset(token)


def choices(alias: Alias, sessions: list[str]) -> list[str]:
    chosen = []
    for session in sessions:
        api_keys.set_session(session)
        chosen.append(choose("toy", alias)[0])
    return chosen


@pytest.mark.parametrize("share", [0.0, 0.01, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("known", [True, False])
def test_shares_are_within_the_bounds_of_chance(share: float, known: bool) -> None:
    sessions = [f"caller {number}" if known else "" for number in range(CALLERS)]
    counts = Counter(choices(Alias("1", canary=Split("2", share)), sessions))
    bound = 5 * math.sqrt(CALLERS * share * (1 - share))  # five standard deviations
    assert abs(counts["2"] - CALLERS * share) <= bound
    assert counts.total() == CALLERS


def test_a_session_keeps_the_canary_while_the_share_grows() -> None:
    sessions = [f"caller {number}" for number in range(1000)]
    previous = set[str]()
    for share in (0.05, 0.1, 0.5, 1):
        chosen = choices(Alias("1", canary=Split("2", share)), sessions)
        assert chosen == choices(Alias("1", canary=Split("2", share)), sessions)
        current = {session for session, version in zip(sessions, chosen, strict=True) if version == "2"}
        assert previous <= current
        previous = current


def test_each_canary_has_other_callers() -> None:
    sessions = [f"caller {number}" for number in range(1000)]
    second, third = ([point("toy", version, session) < 0.1 for session in sessions] for version in ("2", "3"))
    assert sum(map(all, zip(second, third, strict=True))) < 30


def test_a_session_may_have_any_characters() -> None:
    assert 0 <= point("toy", "2", "\udce9 é 好") < 1


def test_a_shadow_computes_its_share_of_what_others_answer() -> None:
    alias = Alias("1", canary=Split("2", 0.5), shadow=Split("2", 0.2))
    api_keys.set_session("")
    pairs = Counter(choose("toy", alias) for _ in range(CALLERS))
    assert pairs["2", "2"] == 0
    assert abs(pairs["1", "2"] - CALLERS * 0.1) <= 5 * math.sqrt(CALLERS * 0.1 * 0.9)


def test_work_without_a_request_gets_the_alias_s_own_version_and_no_shadow() -> None:
    alias = Alias("1", canary=Split("2", 1), shadow=Split("3", 1))
    assert choose("toy", alias) == ("1", "")
