"""What was measured as Markdown: medians, quartiles, ratios, and how far ours is ahead of the best peer."""

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
    from tests.benchmarks.runner import Found

OURS = "Hearth"
PACKAGES = ("onnxruntime", "numpy", "tokenizers", "fastapi")


def made_by(command: str, cases: Sequence[Found]) -> str:
    """The command that makes the figures anew, and what they are of: a line for each machine, day and commit."""
    lines = sorted({of for found in cases for of in found.circumstances})
    peers = sorted({peer for found in cases for peer in found.peers})
    parts = [f"`{command}`; {'; then '.join(lines)}."]
    parts += [f"Peers: {', '.join(peers)}."] if peers else []
    return " ".join([*parts, "Ratios are medians of the ratios within each round."])


@cache
def circumstances() -> str:
    """Day, commit, processor and versions; the commit is the one that the run began with."""
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


def ratios(found: Found, way: str) -> list[float]:
    """A way against the baseline, round by round."""
    case = found.case
    both = [
        (figures[way][case.figure], figures[case.baseline][case.figure])
        for figures in found.rounds
        if way in figures and case.baseline in figures
    ]
    inverse = case.speedup and not case.figure.endswith(RATES)
    return [base / own if inverse else own / base for own, base in both]


def ratio(found: Found, way: str) -> float | None:
    return statistics.median(found_ratios) if (found_ratios := ratios(found, way)) else None


def better(case: Case) -> Any:
    """`max` or `min`: which of two ratios is the better one."""
    return max if case.speedup or case.figure.endswith(RATES) else min


def best_of_ours(found: Found) -> tuple[str, float] | None:
    """A way and its ratio. Where ours is the baseline as well, the first way: they differ in size, not in quality."""
    ways = found.case.ways[:1] if found.case.baseline.startswith(OURS) else found.case.ways
    return _best(found, [way.name for way in ways if way.name.startswith(OURS)])


def best_peer(found: Found) -> tuple[str, float] | None:
    return _best(found, [way.name for way in found.case.ways if not way.name.startswith(OURS)])


def _best(found: Found, ways: Sequence[str]) -> tuple[str, float] | None:
    measured = [(value, name) for name in ways if (value := ratio(found, name)) is not None]
    if not measured:
        return None
    value, name = better(found.case)(measured)
    return name, value


def of(cases: Sequence[Found]) -> str:
    return "\n".join(_case(found) for found in cases)


def _case(found: Found) -> str:
    case = found.case
    lines = [
        f"## {case.name}",
        "",
        f"| way | {_unit(case.figure)} | quartiles | ratio | peak MB |",
        "|---|---:|---:|---:|---:|",
    ]
    for way in case.ways:
        values = [figures[way.name][case.figure] for figures in found.rounds if way.name in figures]
        if not values:
            continue
        low, middle, high = quartiles(values)
        peaks = [figures[way.name]["peak_mb"] for figures in found.rounds if "peak_mb" in figures.get(way.name, {})]
        share = ratio(found, way.name)
        lines.append(
            f"| {way.name}{', the baseline' if way.name == case.baseline else ''} | {_shown(case, middle)} | "
            f"{_shown(case, low)}–{_shown(case, high)} | {'' if share is None else f'{share:.2f}'} | "
            f"{f'{max(peaks):.0f}' if peaks else ''} |"
        )
    notes = [verdict(found), *(f"Missing: {name}, {why}" for name, why in found.missing.items())]
    return "\n".join([*lines, "", *(f"{note}." for note in notes if note), ""])


def verdict(found: Found) -> str:
    """Whether the aim was met, and the distance to the best peer."""
    case, parts = found.case, []
    best = best_of_ours(found)
    if best is None:
        return "Ours or its baseline was not measured"
    name, ours = best
    if case.aim is not None:
        met = better(case)(ours, case.aim) == ours
        sign = "≥" if better(case) is max else "≤"
        parts.append(f"aim {sign} {case.aim:g}: {'met' if met else 'short'} with {ours:.2f}, {name}")
    if peer := best_peer(found):
        by = ahead(found) or 0.0
        parts.append(
            f"{'ahead of' if by > 1 else 'behind'} the best peer, {peer[0]} with {peer[1]:.2f}: {by:.2f} times"
        )
    if case.limit:
        parts.append(case.limit)
    return f"{len(found.rounds)} rounds; " + "; ".join(parts)


def ahead(found: Found) -> float | None:
    """How many times as good as the best peer the best of ours is."""
    best, peer = best_of_ours(found), best_peer(found)
    if best is None or peer is None:
        return None
    return best[1] / peer[1] if better(found.case) is max else peer[1] / best[1]


def summary(area: str, cases: Sequence[Found]) -> list[dict[str, Any]]:
    """The rows of the table in docs/performance.md, a row a case that has an aim."""
    rows = []
    for found in cases:
        (way, ours), (peer, _) = (best(found) or (None, None) for best in (best_of_ours, best_peer))
        rows.append(
            {
                "area": area,
                "case": found.case.name,
                "baseline": found.case.baseline,
                "aim": found.case.aim,
                "bigger": better(found.case) is max,
                "ours": ours,
                "way": way,
                "peer": peer,
                "ahead": ahead(found),
            }
        )
    return rows


def whole(results: Path) -> str:
    """All areas in one table, a row a case."""
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


def _shown(case: Case, value: float) -> str:
    shown = value * 1000 if case.figure == "seconds" else value
    return f"{shown:.3g}" if shown < 100 else f"{shown:.0f}"
