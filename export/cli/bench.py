"""`hearth bench`: measure Hearth beside what else could be used."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

console = Console()


def bench(
    area: Annotated[list[str] | None, typer.Argument(help="Areas; without one, all of them.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Measurements of each way.")] = 7,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget what earlier runs measured.")] = False,
) -> None:
    """Measure areas in interleaved rounds beside peers; ended and run again, it goes on where it was."""
    try:
        from tests.benchmarks import runner
        from tests.benchmarks.area import WORK
    except ModuleNotFoundError as error:
        console.print(
            f"error: {error.name} is not here: `hearth bench` runs in a checkout of Hearth's repository, with "
            "pip install -e '.[export,test,bench]'.",
            markup=False,
        )
        raise typer.Exit(1) from error
    known = runner.areas()
    if unknown := [name for name in area or () if name not in known]:
        raise typer.BadParameter(f"There is no area {', '.join(unknown)}; there are {', '.join(known)}.")
    failed = []
    for name in area or known:
        try:
            with console.status(name) as status:
                text = runner.run(name, rounds, fresh, status.update, WORK)
        except Exception:  # hours of other areas wait behind this one
            console.print_exception(max_frames=8)
            failed.append(name)
            continue
        console.print(f"# {name}\n\n{text}", markup=False, highlight=False, soft_wrap=True)
    if failed:
        console.print(f"error: {', '.join(failed)} could not be measured; the reasons are above.", markup=False)
        raise typer.Exit(1)
    if not area:
        console.print((runner.RESULTS / "summary.md").read_text(), markup=False, highlight=False, soft_wrap=True)
