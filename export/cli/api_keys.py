"""`hearth api-key` and `hearth audit`: create keys for callers, and verify the audit records of their requests."""

from __future__ import annotations

import hashlib
import secrets
import sys
from pathlib import Path
from typing import Annotated

import typer

from hearth_build.cli.options import JsonOption
from hearth_build.cli.output import print_json


def api_key(
    name: Annotated[str | None, typer.Argument(help="The tenant's name. Logs contain only its hash.")] = None,
    models: Annotated[str, typer.Option(help="Models the key may call: patterns, separated by commas.")] = "*",
    rate: Annotated[float, typer.Option(help="Sustained requests per second; 0 means unlimited.", min=0)] = 0,
    stack: Annotated[str, typer.Option(help="Print the API key of this deployed stack instead.")] = "",
    burst: Annotated[int, typer.Option(help="Requests that an idle key may send at once.", min=1)] = 1,
) -> None:
    """Create an API key. The key is shown only once; add the printed entry to the list in HEARTH_API_KEYS."""
    import msgspec

    from hearth.auth.api_keys import Entry

    if stack:
        from hearth_build.cloud.stack import api_key_of, describe_stack

        print(api_key_of(describe_stack(stack)))
        return
    if not name:
        raise typer.BadParameter("Name a tenant, or use --stack.")
    key = "hearth_" + secrets.token_urlsafe(32)
    patterns = [pattern.strip() for pattern in models.split(",") if pattern.strip()]
    if not patterns:
        raise typer.BadParameter("--models needs at least one pattern.")
    entry = Entry(name, hashlib.sha256(key.encode()).hexdigest(), patterns, rate, burst)
    typer.echo(f"The key of {name}, which is not stored anywhere:\n{key}\n\nIts entry for HEARTH_API_KEYS:", err=True)
    print(msgspec.json.encode(entry).decode())


def audit(
    file: Annotated[Path, typer.Argument(help="An audit file, or an exported log that contains audit records.")],
    json: JsonOption = False,
) -> None:
    """Verify audit records. The first changed, lost or moved record is reported, and the exit status is 1."""
    from hearth_build.cli.audit import check

    with file.open("rb") as lines:
        report = check(lines)
    if json:
        print_json(report)
    for chain in () if json else report.chains.values():
        print(f"chain {chain.name}: {chain.number} records, the last one has the hash {chain.hash}")
    if report.error:
        print(report.error, file=sys.stderr)
        raise typer.Exit(1)
    if not report.chains:
        print(f"{file} contains no audit records", file=sys.stderr)
        raise typer.Exit(1)
