"""`hearth doctor`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from hearth_build.cli.options import JsonOption
from hearth_build.cli.output import print_json
from hearth_build.cloud.finding import Finding, Level

SIGNS = {Level.OK: "[green]✓[/green]", Level.NOTE: "[yellow]·[/yellow]", Level.PROBLEM: "[red]✗[/red]"}
console = Console()


def doctor(
    store: Annotated[
        str | None, typer.Option(help="Also check this store: s3://bucket/prefix or file:///path.")
    ] = None,
    stack: Annotated[str | None, typer.Option(help="Also check the deployment with this stack name.")] = None,
    deep: Annotated[bool, typer.Option(help="Download every file of the store and verify its checksum.")] = False,
    region: Annotated[str, typer.Option(help="Also check what deploying to this AWS region needs.")] = "",
    url: Annotated[str, typer.Option(help="URL of the stack's API, if it has a custom domain or a proxy.")] = "",
    verify_keys: Annotated[
        Path | None,
        typer.Option(envvar="HEARTH_VERIFY_KEYS", help="Verify signatures with the public keys in this folder."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Check this machine and, optionally, a store and a deployment. Exits with status 1 if there is a problem."""
    if json:
        findings = list(_findings(store, stack, deep, region, url, verify_keys))
        print_json(findings)
        if any(finding.level is Level.PROBLEM for finding in findings):
            sys.exit(1)
        return
    problems = 0
    for finding in _findings(store, stack, deep, region, url, verify_keys):
        console.print(SIGNS[finding.level], end=" ")
        console.print(finding.text, markup=False, highlight=False, soft_wrap=True)
        problems += finding.level is Level.PROBLEM
    console.print(f"Problems: {problems}" if problems else "No problems.", highlight=False)
    if problems:
        sys.exit(1)


def _findings(
    store: str | None, stack: str | None, deep: bool, region: str, url: str, verify_keys: Path | None
) -> Iterator[Finding]:
    from hearth_build.cloud.check_machine import check_machine

    yield from check_machine(region)
    if store:
        from hearth.models import signature
        from hearth.storage.open import open_store
        from hearth_build.cloud.check_store import check_store

        yield from check_store(open_store(store), signature.read(verify_keys) if verify_keys else None, deep=deep)
    if stack:
        from hearth_build.cloud.check_deployment import check_deployment

        yield from check_deployment(stack, url)
