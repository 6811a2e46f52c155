"""`hearth bench` on a small area: ratios, resuming, missing peers."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest
from typer.testing import CliRunner

from hearth_build.cli.main import app
from tests.benchmarks import runner, table
from tests.benchmarks.area import Case, Missing, Turn, Way
from tests.benchmarks.worker import worker

ENGINE = """
import json, sys, time
print("a library's banner")
print(json.dumps({"ready": True}), flush=True)
for number, _ in enumerate(sys.stdin):
    if number == int(sys.argv[2]):
        sys.exit("no more")
    time.sleep(float(sys.argv[1]))
    print(json.dumps({"seconds": float(sys.argv[1])}), flush=True)
"""


def engine(seconds: float, turns: int = 1000) -> Way:
    return Way(f"sleeps {seconds}", lambda: worker([sys.executable, "-c", ENGINE, str(seconds), str(turns)]))


def missing_peer() -> Way:
    @contextmanager
    def open_peer() -> Iterator[Turn]:
        raise Missing("it could not be installed")
        yield

    return Way("peer", open_peer)


@pytest.fixture
def area(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """An area `toy` whose results are written to `tmp_path/results`."""
    module = ModuleType("tests.benchmarks.areas.toy", "Toy: two sleepers.")
    ours = Way("Hearth", engine(0.01).open)
    module.cases = lambda work: [Case("a case", [ours, engine(0.04), missing_peer()], "sleeps 0.04", 3.0, True)]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(runner, "RESULTS", tmp_path / "results")
    monkeypatch.setattr("tests.benchmarks.area.WORK", tmp_path)
    return module


def test_a_run_writes_a_table_a_plot_and_a_summary(area: ModuleType, tmp_path: Path) -> None:
    text = runner.run("toy", 3, False, lambda _: None, tmp_path)
    assert "| Hearth | 10 | 10–10 | 4.00 | " in text
    assert (
        "3 rounds; aim ≥ 3: met with 4.00, Hearth; ahead of the best peer, sleeps 0.04 with 1.00: 4.00 times." in text
    )
    assert "Missing: peer, it could not be installed." in text
    assert (tmp_path / "results/toy.png").read_bytes().startswith(b"\x89PNG")
    page = (tmp_path / "results/toy.md").read_text()
    assert page.startswith("# Toy: two sleepers\n\n`hearth bench toy`; 20")
    assert "processors, Python 3." in page
    assert (
        "| [toy](toy.md) | a case | sleeps 0.04 | ≥ 3 | 4.00 | Hearth | met | sleeps 0.04 | 4.00 |"
        in table.summary_table(tmp_path / "results")
    )


def test_an_interrupted_run_resumes(area: ModuleType, tmp_path: Path) -> None:
    runner.run("toy", 2, False, lambda _: None, tmp_path)
    rounds = tmp_path / "toy/rounds/a-case.jsonl"
    before = rounds.read_text()
    rounds.write_text(before + '{"figures": {"Hea')  # killed while it wrote
    runner.run("toy", 3, False, lambda _: None, tmp_path)
    assert rounds.read_text().startswith(before)
    after = rounds.read_text()
    assert len(after.splitlines()) == 3
    runner.run("toy", 3, False, lambda _: None, tmp_path)
    assert rounds.read_text() == after, "complete rounds are not measured again"
    runner.run("toy", 1, True, lambda _: None, tmp_path)
    assert len(rounds.read_text().splitlines()) == 1, "--fresh starts again"


def test_rounds_of_other_ways_are_discarded(area: ModuleType, tmp_path: Path) -> None:
    runner.run("toy", 2, False, lambda _: None, tmp_path)
    small, large = (
        Way(f"Hearth, {size}", engine(seconds).open) for size, seconds in (("small", 0.02), ("large", 0.04))
    )
    area.cases = lambda work: [Case("a case", [large, small], "Hearth, small", 3)]  # type: ignore[attr-defined]
    text = runner.run("toy", 1, False, lambda _: None, tmp_path)
    assert "1 rounds; aim ≤ 3: met with 2.00, Hearth, large." in text


def test_the_best_of_ours_counts(area: ModuleType, tmp_path: Path) -> None:
    ways = [Way("Hearth int8", engine(0.02).open), Way("Hearth 4-bit", engine(0.01).open), engine(0.04)]
    area.cases = lambda work: [Case("a case", ways, "sleeps 0.04", speedup=True)]  # type: ignore[attr-defined]
    assert "ahead of the best peer, sleeps 0.04 with 1.00: 4.00 times" in runner.run("toy", 1, False, print, tmp_path)
    assert "| 4.00 | Hearth 4-bit |" in table.summary_table(tmp_path / "results")


def test_a_failing_area_is_reported_after_the_others(area: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    def cases(work: Path) -> list[Case]:
        raise RuntimeError("no data")

    monkeypatch.setitem(sys.modules, "tests.benchmarks.areas.broken", module := ModuleType("broken", "Broken."))
    module.cases = cases  # type: ignore[attr-defined]
    monkeypatch.setattr(runner, "areas", lambda: ["broken", "toy"])
    result = CliRunner().invoke(app, ["bench", "--rounds", "1", "--fresh"])
    assert result.exit_code == 1
    assert "RuntimeError: no data" in result.output
    assert "| Hearth | 10 |" in result.output
    assert "error: broken could not be measured" in result.output


def test_a_peer_that_ends_is_left_out_with_its_last_error(area: ModuleType, tmp_path: Path) -> None:
    ours = Way("Hearth", engine(0.01).open)
    area.cases = lambda work: [Case("b", [ours, engine(0.02), engine(0.03, 2)], "sleeps 0.02", speedup=True)]  # type: ignore[attr-defined]
    text = runner.run("toy", 3, False, lambda _: None, tmp_path)
    assert "Missing: sleeps 0.03, its process ended with 1: no more." in text
    assert "| sleeps 0.03 | 30 | 30–30 | 0.67 | " in text


def test_an_unknown_area_is_refused_with_the_known_ones() -> None:
    result = CliRunner().invoke(app, ["bench", "speed"])
    assert result.exit_code == 2
    assert "There is no area speed. The areas are bert" in " ".join(result.output.replace("│", " ").split())
