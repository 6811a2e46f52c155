from __future__ import annotations

from pathlib import Path

import pytest

from hearth_build.training.candidates import Session
from hearth_build.training.fine_tuning import Preset, Training, best_score, fit, trained
from hearth_build.training.plan import Plan
from tests.export import toy

PRESET = Preset(epochs=1, learning_rate=2e-3, batch_size=32)


def run(work: Path, minutes: float = 5, **settings: float) -> tuple[Session, str, float]:
    toy.prepare(work)
    plan = Plan(task="text-classification", name="tiny", data="a.csv", minutes=minutes, settings=settings)
    session, kind = Session(plan, work, ""), toy.stage()
    assert kind.score is not None
    parts = {"network": kind.network, "batches": toy.batches(work), "loss": kind.loss, "score": kind.score}
    best = fit(session, Training(PRESET, **parts, name="train"))
    assert best_score(session, best) >= best_score(session, toy.stage())
    assert not trained(session, best).training
    return session, best.name, best.optimiser.learning_rate


def test_other_learning_rates_are_tried_while_there_is_time(tmp_path: Path) -> None:
    session, _, rate = run(tmp_path)
    assert sorted(path.name for path in tmp_path.glob("train*")) == ["train", "train-1", "train-2"]
    assert rate in (1e-3, 2e-3, 4e-3)
    assert session.settings == {"epochs": 1, "learning_rate": rate}


@pytest.mark.parametrize(("minutes", "settings"), [(5, {"epochs": 1, "learning_rate": 3e-3}), (0.001, {})])
def test_one_is_trained_when_a_recipe_is_repeated_or_there_is_no_time(
    minutes: float, settings: dict[str, float], tmp_path: Path
) -> None:
    run(tmp_path, minutes, **settings)
    assert [path.name for path in tmp_path.glob("train*")] == ["train"]
