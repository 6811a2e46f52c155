"""Runs areas: ways take turns round by round, each round is kept at once, and a run goes on where one was ended."""

from __future__ import annotations

import importlib
import json
import re
import shutil
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from tests.benchmarks import plots, table, venvs
from tests.benchmarks.area import Case, Figures, Missing, Turn

RESULTS = Path(__file__).parent / "results"
ROUNDS = 7


@dataclass
class Found:
    """What was measured of a case."""

    case: Case
    rounds: list[Mapping[str, Figures]] = field(default_factory=list)
    """Figures by way."""
    missing: dict[str, str] = field(default_factory=dict)
    """Why a way was not measured."""
    circumstances: set[str] = field(default_factory=set)
    """Day, commit, machine and versions of the rounds."""
    peers: set[str] = field(default_factory=set)
    """The peers' packages."""


def areas() -> list[str]:
    return sorted(path.stem for path in (Path(__file__).parent / "areas").glob("[a-z]*.py"))


def run(area: str, rounds: int, fresh: bool, tell: Callable[[str], None], work: Path) -> str:
    """Measure an area until each of its cases has `rounds` rounds, and write its results; returns the table."""
    module = importlib.import_module(f"tests.benchmarks.areas.{area}")
    table.circumstances()  # once a process, so that the commit is that of the code that runs
    venvs.USED.clear()
    folder = work / area
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / "rounds"
    if fresh:
        shutil.rmtree(kept, ignore_errors=True)
    kept.mkdir(exist_ok=True)
    found = [measure(case, kept / f"{slug(case.name)}.jsonl", rounds, tell) for case in module.cases(folder)]
    title = (module.__doc__ or area).split("\n")[0].rstrip(".")
    RESULTS.mkdir(exist_ok=True)
    if hasattr(module, "report"):
        text: str = module.report(RESULTS, found)
    else:
        text = table.of(found)
        plots.ratios(found, title, RESULTS / f"{area}.png")
    (RESULTS / f"{area}.md").write_text(f"# {title}\n\n{table.made_by(f'hearth bench {area}', found)}\n\n{text}")
    (RESULTS / f"{area}.json").write_text(json.dumps(table.summary(area, found), indent=1) + "\n")
    (RESULTS / "summary.md").write_text(table.whole(RESULTS))
    return text


def measure(case: Case, kept: Path, rounds: int, tell: Callable[[str], None]) -> Found:
    """Go on with a case, anew where its ways are others. The first round of a process warms up and is left out."""
    found = _read(case, kept)
    if len(found.rounds) >= rounds:
        return found
    with ExitStack() as stack:
        turns: dict[str, Turn] = {}
        found.missing.clear()
        for way in case.ways:
            tell(f"{case.name}: {way.name} starts")
            try:
                turns[way.name] = stack.enter_context(way.open())
                turns[way.name]()
            except Missing as error:
                turns.pop(way.name, None)
                found.missing[way.name] = str(error)
        with kept.open("a") as file:
            while len(found.rounds) < rounds:
                figures = {}
                for name in list(turns):
                    tell(f"{case.name}: round {len(found.rounds) + 1} of {rounds}, {name}")
                    try:
                        figures[name] = turns[name]()
                    except Missing as error:
                        del turns[name]
                        found.missing[name] = str(error)
                found.rounds.append(figures)
                found.circumstances.add(table.circumstances())
                found.peers |= venvs.USED
                row = {"figures": figures, "missing": found.missing, "of": table.circumstances()}
                print(json.dumps(row | {"peers": sorted(venvs.USED)}), file=file, flush=True)
    return found


def _read(case: Case, kept: Path) -> Found:
    """What an earlier run kept, if it was of the same ways; a line that was cut off is no round."""
    found = Found(case)
    lines = kept.read_text().splitlines(keepends=True) if kept.exists() else []
    whole = [line for line in lines if line.endswith("\n")]
    rows = [json.loads(line) for line in whole]
    names = {way.name for way in case.ways}
    if any({*row["figures"], *row["missing"]} != names for row in rows):
        whole, rows = [], []
    if len(whole) < len(lines):
        kept.write_text("".join(whole))
    for row in rows:
        found.rounds.append(row["figures"])
        found.missing = row["missing"]
        found.circumstances.add(row["of"])
        found.peers.update(row["peers"])
    return found


def slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
