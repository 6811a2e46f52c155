"""Results as Markdown: medians, quartiles, ratios, and how far ours is ahead of the best peer."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from datetime import date
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.benchmarks.area import RATES, ROOT, Case

if TYPE_CHECKING:
    from tests.benchmarks.runner import CaseResult

OURS = "Hearth"
PACKAGES = ("onnxruntime", "numpy", "tokenizers", "fastapi")


def provenance(command: str, cases: Sequence[CaseResult]) -> str:
    """The command that reproduces the figures, and their circumstances: machine, day and commit."""
    lines = sorted({line for result in cases for line in result.circumstances})
    peers = sorted({peer for result in cases for peer in result.peers})
    sentences = [f"`{command}`; {'; then '.join(lines)}."]
    sentences += [f"Peers: {', '.join(peers)}."] if peers else []
    return " ".join([*sentences, "Ratios are medians of the ratios within each round."])


@cache
def circumstances() -> str:
    """Day, commit, processor and versions; the commit is that of the start of the run."""
    cpuinfo = Path("/proc/cpuinfo").read_text()
    name = next((line.partition(":")[2].strip() for line in cpuinfo.splitlines() if "model name" in line), "unknown")
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    packages = ", ".join(f"{package} {_version(package)}" for package in PACKAGES)
    return (
        f"{date.today()}, commit {commit.stdout.strip()}, {name}, {os.cpu_count()} processors, "
        f"Python {platform.python_version()}, {packages}"
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"


def ratios(result: CaseResult, way: str) -> list[float]:
    """A way against the baseline, round by round."""
    case = result.case
    pairs = [
        (figures[way][case.figure], figures[case.baseline][case.figure])
        for figures in result.rounds
        if way in figures and case.baseline in figures
    ]
    inverse = case.speedup and not case.figure.endswith(RATES)
    return [base / own if inverse else own / base for own, base in pairs]


def ratio(result: CaseResult, way: str) -> float | None:
    return statistics.median(values) if (values := ratios(result, way)) else None


def better(case: Case) -> Any:
    """`max` or `min`: which of two ratios is the better one."""
    return max if case.speedup or case.figure.endswith(RATES) else min


def best_of_ours(result: CaseResult) -> tuple[str, float] | None:
    """A way and its ratio. If the baseline is ours too, the first way: the ways differ in size, not in quality."""
    ways = result.case.ways[:1] if result.case.baseline.startswith(OURS) else result.case.ways
    return _best(result, [way.name for way in ways if way.name.startswith(OURS)])


def best_peer(result: CaseResult) -> tuple[str, float] | None:
    return _best(result, [way.name for way in result.case.ways if not way.name.startswith(OURS)])


def _best(result: CaseResult, ways: Sequence[str]) -> tuple[str, float] | None:
    measured = [(value, name) for name in ways if (value := ratio(result, name)) is not None]
    if not measured:
        return None
    value, name = better(result.case)(measured)
    return name, value


def render(cases: Sequence[CaseResult]) -> str:
    return "\n".join(_case(result) for result in cases)


def _case(result: CaseResult) -> str:
    case = result.case
    lines = [
        f"## {case.name}",
        "",
        f"| way | {_unit(case.figure)} | quartiles | ratio | peak MB |",
        "|---|---:|---:|---:|---:|",
    ]
    for way in case.ways:
        values = [figures[way.name][case.figure] for figures in result.rounds if way.name in figures]
        if not values:
            continue
        low, middle, high = quartiles(values)
        peaks = [figures[way.name]["peak_mb"] for figures in result.rounds if "peak_mb" in figures.get(way.name, {})]
        share = ratio(result, way.name)
        lines.append(
            f"| {way.name}{', the baseline' if way.name == case.baseline else ''} | {_format(case, middle)} | "
            f"{_format(case, low)}–{_format(case, high)} | {'' if share is None else f'{share:.2f}'} | "
            f"{f'{max(peaks):.0f}' if peaks else ''} |"
        )
    notes = [verdict(result), *(f"Missing: {name}, {why}" for name, why in result.missing.items())]
    return "\n".join([*lines, "", *(f"{note}." for note in notes if note), ""])


def verdict(result: CaseResult) -> str:
    """Whether the aim was met, and the distance to the best peer."""
    case, clauses = result.case, []
    best = best_of_ours(result)
    if best is None:
        return "Ours or its baseline was not measured"
    name, ours = best
    if case.aim is not None:
        met = better(case)(ours, case.aim) == ours
        sign = "≥" if better(case) is max else "≤"
        clauses.append(f"aim {sign} {case.aim:g}: {'met' if met else 'short'} with {ours:.2f}, {name}")
    if peer := best_peer(result):
        factor = ahead(result) or 0.0
        clauses.append(
            f"{'ahead of' if factor > 1 else 'behind'} the best peer, {peer[0]} with {peer[1]:.2f}: {factor:.2f} times"
        )
    if case.limit:
        clauses.append(case.limit)
    return f"{len(result.rounds)} rounds; " + "; ".join(clauses)


def ahead(result: CaseResult) -> float | None:
    """How many times better the best of ours is than the best peer."""
    best, peer = best_of_ours(result), best_peer(result)
    if best is None or peer is None:
        return None
    return best[1] / peer[1] if better(result.case) is max else peer[1] / best[1]


def summary(area: str, cases: Sequence[CaseResult]) -> list[dict[str, Any]]:
    """The rows of the table in docs/performance.md, one per case."""
    rows = []
    for result in cases:
        (way, ours), (peer, _) = (best(result) or (None, None) for best in (best_of_ours, best_peer))
        rows.append(
            {
                "area": area,
                "case": result.case.name,
                "baseline": result.case.baseline,
                "aim": result.case.aim,
                "bigger": better(result.case) is max,
                "ours": ours,
                "way": way,
                "peer": peer,
                "ahead": ahead(result),
            }
        )
    return rows


def summary_table(results: Path) -> str:
    """All areas in one table, a row per case."""
    lines = [
        "| area | case | baseline = 1.0 | aim | ours | by | | best peer | ahead of it |",
        "|---|---|---|---:|---:|---|---|---|---:|",
    ]
    rows = [row for path in sorted(results.glob("*.json")) for row in json.loads(path.read_text())]
    return "\n".join([*lines, *map(_row, rows)]) + "\n"


def _row(row: Mapping[str, Any]) -> str:
    area, aim, ours, ahead = row["area"], row["aim"], row["ours"], row["ahead"]
    met = ours is not None and aim is not None and (ours >= aim if row["bigger"] else ours <= aim)
    cells = [
        f"[{area}]({area}.md)",
        row["case"],
        row["baseline"],
        "" if aim is None else f"{'≥' if row['bigger'] else '≤'} {aim:g}",
        "not measured" if ours is None else f"{ours:.2f}",
        row["way"] or "",
        "" if ours is None or aim is None else "met" if met else "short",
        row["peer"] or "",
        "" if ahead is None else f"{ahead:.2f}",
    ]
    return f"| {' | '.join(cells)} |"


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    if len(values) == 1:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def _unit(figure: str) -> str:
    return "ms" if figure == "seconds" else figure.replace("_", " ")


def _format(case: Case, value: float) -> str:
    number = value * 1000 if case.figure == "seconds" else value
    return f"{number:.3g}" if number < 100 else f"{number:.0f}"
