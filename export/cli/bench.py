"""`hearth bench`: compare Hearth with alternatives."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

import hearth_build

console = Console()
CHECKOUT = Path(hearth_build.__file__).resolve().parent.parent


def bench(
    area: Annotated[list[str] | None, typer.Argument(help="Areas to measure. Default: all.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Measurements of each candidate.")] = 7,
    fresh: Annotated[bool, typer.Option("--fresh", help="Discard the measurements of earlier runs.")] = False,
) -> None:
    """Benchmark Hearth against alternatives, in interleaved rounds. An interrupted run resumes."""
    sys.path.insert(0, str(CHECKOUT))  # the benchmark is part of a checkout, not of an installation
    try:
        from tests.benchmarks import runner
        from tests.benchmarks.area import WORK
    except ModuleNotFoundError as error:
        console.print(
            f"error: {error.name} is not installed. Run `hearth bench` in a checkout of Hearth's repository, after "
            "pip install -e '.[export,test,bench]'.",
            markup=False,
        )
        raise typer.Exit(1) from error
    areas = runner.areas()
    if unknown := [name for name in area or () if name not in areas]:
        raise typer.BadParameter(f"There is no area {', '.join(unknown)}. The areas are {', '.join(areas)}.")
    failed = []
    for name in area or areas:
        try:
            with console.status(name) as status:
                text = runner.run(name, rounds, fresh, status.update, WORK)
        except Exception:  # the other areas may take hours, and do not depend on this one
            console.print_exception(max_frames=8)
            failed.append(name)
            continue
        console.print(f"# {name}\n\n{text}", markup=False, highlight=False, soft_wrap=True)
    if failed:
        console.print(f"error: {', '.join(failed)} could not be measured; the reasons are above.", markup=False)
        raise typer.Exit(1)
    if not area:
        console.print((runner.RESULTS / "summary.md").read_text(), markup=False, highlight=False, soft_wrap=True)
