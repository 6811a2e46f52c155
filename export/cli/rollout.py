"""`hearth rollout`: give a new version a growing share of the callers, and take it back if it does worse."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from hearth_build.cli.alias import parse_share
from hearth_build.cli.options import StoreOption

if TYPE_CHECKING:
    from hearth_build.release.rollout import Log

console = Console()


def rollout(
    name: Annotated[str, typer.Argument(help="The model's name.")],
    version: Annotated[str, typer.Argument(help="The published version that shall answer.")],
    store: StoreOption,
    alias: Annotated[str, typer.Option(help="The alias.")] = "prod",
    log: Annotated[Path | None, typer.Option(help="The log of a server: hearth serve … > FILE.")] = None,
    stack: Annotated[str, typer.Option(help="Name of the stack whose logs are read, instead of --log.")] = "",
    shares: Annotated[
        str, typer.Option(help="Share of the callers in each step; at 0% the version is only compared, as a shadow.")
    ] = "0%,5%,25%,50%",
    minutes: Annotated[float, typer.Option(help="Shortest time of a step.", min=0)] = 5,
    wait_minutes: Annotated[float, typer.Option(help="Longest time of a step.", min=0)] = 60,
    requests: Annotated[int, typer.Option(help="Requests that each step needs.", min=1)] = 100,
    errors: Annotated[str, typer.Option(help="Largest share of requests to VERSION that may fail.")] = "1%",
    latency: Annotated[
        float, typer.Option(help="How many times as long as before 95 % of the requests may take.", min=0)
    ] = 1.5,
    agreement: Annotated[
        str, typer.Option(help="Smallest agreement of both versions' answers; 0% does not compare them.")
    ] = "90%",
    shadow: Annotated[
        str, typer.Option(help="Share of the requests whose answers VERSION computes too, for the agreement.")
    ] = "100%",
) -> None:
    """Give a version a growing share of an alias's callers; promote it at last, or roll it back if it does worse."""
    if (log is None) == (not stack):
        raise typer.BadParameter("Give either --log FILE, the log of a server, or --stack NAME.")
    from hearth.storage.open import open_store
    from hearth_build.release.rollout import Plan, Rollout
    from hearth_build.release.traffic_figures import Limits

    steps = [parse_share(text.strip()) for text in shares.split(",")]
    if steps != sorted(set(steps)):
        raise typer.BadParameter("--shares must grow from step to step, such as 0%,5%,25%,50%.")
    limits = Limits(requests, parse_share(errors), latency, parse_share(agreement))
    if not limits.agreement:
        steps = [share for share in steps if share]
    plan = Plan(name, alias, version, steps, parse_share(shadow), minutes * 60, wait_minutes * 60, limits)
    run = Rollout(open_store(store), _open_log(log, stack, name), plan, _print)
    try:
        promoted = run.run()
    except KeyboardInterrupt:
        _print(
            f"\nInterrupted: {name}@{alias} keeps its share. Run the same command again to go on, or "
            f"hearth alias {name} {alias} --rollback --store {store}"
        )
        raise
    _print(f"{name}@{alias} is now version {promoted.version}.")


def _open_log(path: Path | None, stack: str, name: str) -> Log:
    """Raises NotFound, AwsError."""
    if path is not None:
        from hearth_build.release.rollout import FileLog

        return FileLog(path)
    from hearth_build.cloud.stack import describe_stack
    from hearth_build.cloud.stack_logs import StackLog, log_groups

    pattern = f'{{ $.routed = "{name}@*" || $.message = "shadow" }}'
    return StackLog(log_groups(describe_stack(stack)), time.time(), pattern)


def _print(text: str) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=True)
