from __future__ import annotations

from hearth_build.data.report import DataReport
from hearth_build.data.split import Split
from hearth_build.recipe import Example
from hearth_build.training.parallel_texts import PairData
from hearth_build.training.summarization import TASK, TRAINER, baselines

TRAIN = [Example("a long text about hours", "hours"), Example("a text about prices", "the prices"), Example("x y", "z")]


def test_baselines_are_other_summaries_and_beginnings_of_their_usual_length() -> None:
    data = PairData(Split(TRAIN, [], []), (), DataReport())
    texts = baselines(data, [Example("the first text", ""), Example("another", "")])
    assert texts == {
        "summaries of other texts": ["hours", "the prices"],
        "the beginning of the text": ["the f", "anoth"],
    }


def test_candidates_are_chosen_by_rouge() -> None:
    data = PairData(Split(TRAIN, TRAIN, []), (), DataReport())
    assert TASK.score(data, ["hours", "the prices", "z"]) == 1
    assert TASK.cuts, "a summary also fits the beginning of a text"
    assert TRAINER.default_base(data) == "transformer-small"
