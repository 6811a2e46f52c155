"""The short form of `python -m tests.faults.kills`."""

from __future__ import annotations

from tests.faults.kills import Outcome, survive
from tests.template.local_stack import Stack


def test_uploads_end_once_while_workers_are_killed(stack: Stack) -> None:
    outcome = survive(stack, 40, seed=7)
    assert outcome.kills > 0
    assert outcome.violations() == []
    assert {key for key, poison in outcome.keys.items() if poison} <= outcome.dead


def test_violations_of_the_invariant_are_reported() -> None:
    outcome = Outcome(
        keys={"lost": False, "twice": False, "poison": True, "fine": False},
        results={"twice": 2, "poison": 1, "fine": 1, "strange": 1},
    )
    assert outcome.violations() == [
        "lost has neither result nor dead letter",
        "twice has 2 results",
        "strange was never uploaded",
        "poison is not a picture but has a result",
    ]
