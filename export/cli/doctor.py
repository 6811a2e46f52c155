"""`hearth doctor`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from hearth_build.cloud.finding import Finding, Level

SIGNS = {Level.FINE: "[green]✓[/green]", Level.NOTE: "[yellow]·[/yellow]", Level.WRONG: "[red]✗[/red]"}
console = Console()


def doctor(
    store: Annotated[
        str | None, typer.Option(help="Look at this store too: s3://bucket/prefix or file:///path.")
    ] = None,
    stack: Annotated[str | None, typer.Option(help="Look at this deployment too.")] = None,
    deep: Annotated[bool, typer.Option(help="Fetch all that the store holds and check each byte.")] = False,
    url: Annotated[str, typer.Option(help="Where the stack's API is asked, if not at its own address.")] = "",
    verify_keys: Annotated[
        Path | None, typer.Option(envvar="HEARTH_VERIFY_KEYS", help="Check signatures by the keys of this folder.")
    ] = None,
) -> None:
    """Look at this machine, and at a store and a deployment, and say what is wrong; then the exit status is 1."""
    bad = 0
    for finding in _findings(store, stack, deep, url, verify_keys):
        console.print(SIGNS[finding.level], end=" ")
        console.print(finding.text, markup=False, highlight=False, soft_wrap=True)
        bad += finding.level is Level.WRONG
    console.print(f"{bad} wrong" if bad else "Nothing is wrong.", highlight=False)
    if bad:
        sys.exit(1)


def _findings(
    store: str | None, stack: str | None, deep: bool, url: str, verify_keys: Path | None
) -> Iterator[Finding]:
    from hearth_build.cloud.check_machine import machine

    yield from machine()
    if store:
        from hearth.models import signature
        from hearth.storage.open import open_store
        from hearth_build.cloud.check_store import store as look

        yield from look(open_store(store), signature.read(verify_keys) if verify_keys else None, deep=deep)
    if stack:
        from hearth_build.cloud.check_deployment import deployment

        yield from deployment(stack, url)
