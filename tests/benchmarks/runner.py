"""Run areas: ways take turns round by round, each round is saved at once, and an interrupted run resumes."""

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
class CaseResult:
    """The measurements of a case."""

    case: Case
    rounds: list[Mapping[str, Figures]] = field(default_factory=list)
    """Figures by name of the way, per round."""
    missing: dict[str, str] = field(default_factory=dict)
    """Why a way was not measured."""
    circumstances: set[str] = field(default_factory=set)
    """Day, commit, machine and versions of the rounds."""
    peers: set[str] = field(default_factory=set)
    """The peers' packages."""


def areas() -> list[str]:
    return sorted(path.stem for path in (Path(__file__).parent / "areas").glob("[a-z]*.py"))


def run(area: str, rounds: int, fresh: bool, report_progress: Callable[[str], None], work: Path) -> str:
    """Measure an area until each of its cases has `rounds` rounds, write its results, and return the table."""
    module = importlib.import_module(f"tests.benchmarks.areas.{area}")
    table.circumstances()  # cached before measuring, so that the commit is that of the running code
    venvs.USED.clear()
    folder = work / area
    folder.mkdir(parents=True, exist_ok=True)
    rounds_folder = folder / "rounds"
    if fresh:
        shutil.rmtree(rounds_folder, ignore_errors=True)
    rounds_folder.mkdir(exist_ok=True)
    results = [
        measure(case, rounds_folder / f"{slug(case.name)}.jsonl", rounds, report_progress)
        for case in module.cases(folder)
    ]
    title = (module.__doc__ or area).split("\n")[0].rstrip(".")
    RESULTS.mkdir(exist_ok=True)
    if hasattr(module, "report"):
        text: str = module.report(RESULTS, results)
    else:
        text = table.render(results)
        plots.ratios(results, title, RESULTS / f"{area}.png")
    (RESULTS / f"{area}.md").write_text(f"# {title}\n\n{table.provenance(f'hearth bench {area}', results)}\n\n{text}")
    (RESULTS / f"{area}.json").write_text(json.dumps(table.summary(area, results), indent=1) + "\n")
    (RESULTS / "summary.md").write_text(table.summary_table(RESULTS))
    return text


def measure(case: Case, path: Path, rounds: int, report_progress: Callable[[str], None]) -> CaseResult:
    """Resume a case; start again if its ways changed. The first round of a process warms up and is not counted."""
    result = _read(case, path)
    if len(result.rounds) >= rounds:
        return result
    with ExitStack() as stack:
        turns: dict[str, Turn] = {}
        result.missing.clear()
        for way in case.ways:
            report_progress(f"{case.name}: {way.name} starts")
            try:
                turns[way.name] = stack.enter_context(way.open())
                turns[way.name]()
            except Missing as error:
                turns.pop(way.name, None)
                result.missing[way.name] = str(error)
        with path.open("a") as file:
            while len(result.rounds) < rounds:
                figures = {}
                for name in list(turns):
                    report_progress(f"{case.name}: round {len(result.rounds) + 1} of {rounds}, {name}")
                    try:
                        figures[name] = turns[name]()
                    except Missing as error:
                        del turns[name]
                        result.missing[name] = str(error)
                result.rounds.append(figures)
                result.circumstances.add(table.circumstances())
                result.peers |= venvs.USED
                row = {"figures": figures, "missing": result.missing, "of": table.circumstances()}
                print(json.dumps(row | {"peers": sorted(venvs.USED)}), file=file, flush=True)
    return result


def _read(case: Case, path: Path) -> CaseResult:
    """The rounds that an earlier run of the same ways saved; an incomplete last line is ignored."""
    result = CaseResult(case)
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    complete_lines = [line for line in lines if line.endswith("\n")]
    rows = [json.loads(line) for line in complete_lines]
    names = {way.name for way in case.ways}
    if any({*row["figures"], *row["missing"]} != names for row in rows):
        complete_lines, rows = [], []
    if len(complete_lines) < len(lines):
        path.write_text("".join(complete_lines))
    for row in rows:
        result.rounds.append(row["figures"])
        result.missing = row["missing"]
        result.circumstances.add(row["of"])
        result.peers.update(row["peers"])
    return result


def slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
