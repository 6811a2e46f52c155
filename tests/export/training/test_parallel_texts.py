from __future__ import annotations

from pathlib import Path

import pytest

from hearth_build.data.datasets import DataError
from hearth_build.data.report import DataReport
from hearth_build.data.split import Split
from hearth_build.recipe import Example, RecipeError
from hearth_build.training import summarization, translation
from hearth_build.training.candidates import Candidate, Session
from hearth_build.training.parallel_texts import FALLBACK, MEASURED, PairData, golden, read, require_learning, worst
from hearth_build.training.plan import Plan
from tests.export.training.running import write_csv


def read_rows(folder: Path, rows: list[list[str]], task: str = "translation") -> PairData:
    data = write_csv(folder / "a.csv", rows)
    plan = Plan(task=task, name="tiny", data=str(data))  # type: ignore[arg-type]
    return read(Session(plan, folder, ""), {"translation": translation, "summarization": summarization}[task].TASK)


PAIRS = [[f"the dog number {n} is in the house", f"der Hund {n} ist nicht mit der Katze da"] for n in range(30)]


def test_doubtful_pairs_are_named(tmp_path: Path) -> None:
    rows = [*PAIRS, ["one", ""], ["the same", "The same"], ["short", "dies ist ein sehr langer Satz " * 5]]
    report = read_rows(tmp_path, [["en", "de"], *rows]).report
    warnings = " ".join(report.warnings)
    assert "1 pairs with an empty text are left out: row 31" in warnings
    assert "1 pairs have the same text twice, for example row 32" in warnings
    assert "differ in length by more than usual; look whether they belong together: row 33" in warnings
    assert "pairs are few to learn a language from nothing" in warnings


def test_languages_are_those_of_the_columns_or_the_texts(tmp_path: Path) -> None:
    assert read_rows(tmp_path, [["en", "de"], *PAIRS]).languages == ("en", "de")
    assert read_rows(tmp_path, [["source", "target"], *PAIRS]).languages == ("en", "de")


def test_summaries_longer_than_their_texts_are_refused(tmp_path: Path) -> None:
    rows = [[f"short {n}", f"this text {n} is much longer than the other one"] for n in range(30)]
    with pytest.raises(DataError, match=r"Most texts of .* are shorter than their summary. Exchange the columns"):
        read_rows(tmp_path, [["text", "summary"], *rows], "summarization")


def test_few_validation_pairs_are_measured() -> None:
    examples = [Example(str(number), "") for number in range(3 * MEASURED)]
    data = PairData(Split([], examples, []), (), DataReport())
    assert len(data.measured) == MEASURED
    assert data.measured[1].inputs == "3", "at equal distances"


def test_golden_inputs_are_beginnings_that_texts_share() -> None:
    shared = [Example(f"the dog sleeps in house {number}", "") for number in range(9)]
    alone = [Example(f"text {number} of one person only", "") for number in range(9)]
    assert golden(PairData(Split([*shared, *alone], [], []), (), DataReport())) == ["the dog sleeps in house"]
    assert golden(PairData(Split(alone, [], []), (), DataReport())) == list(FALLBACK)


def test_a_network_that_writes_no_better_than_guessing_is_refused() -> None:
    guess = Candidate("the same text", 3.0)
    require_learning(Candidate("network", 3.5), [guess])
    with pytest.raises(RecipeError, match="writes no better than the same text"):
        require_learning(Candidate("network", 3.0), [guess])


def test_the_worst_texts_are_written_to_a_file_and_named(tmp_path: Path) -> None:
    examples = [Example("a", "one text", "row 1"), Example("b\tb", "another text", "row 2")]
    sentence = worst(tmp_path, examples, ["one text", "nothing"], translation.TASK)
    assert sentence.startswith("Least like their reference: row 2, row 1")
    lines = (tmp_path / "doubtful.tsv").read_text().splitlines()
    assert lines[1].split("\t")[2:] == ["b b", "another text", "nothing"]
