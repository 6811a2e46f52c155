"""hearth api-key and hearth audit: keys for callers, and the check of what was recorded of them."""

from __future__ import annotations

import hashlib
import secrets
import sys
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from hearth.auth.api_keys import Entry


def api_key(
    name: Annotated[str, typer.Argument(help="The tenant's name; logs have a hash of it.")],
    models: Annotated[str, typer.Option(help="Patterns of model names, comma-separated.")] = "*",
    rate: Annotated[float, typer.Option(help="Requests a second in the long run; 0: without limit.", min=0)] = 0,
    burst: Annotated[int, typer.Option(help="Requests at once, of a key that has rested.", min=1)] = 1,
) -> None:
    """Make an API key. It is shown this once; its entry goes into the list of HEARTH_API_KEYS."""
    key = "hearth_" + secrets.token_urlsafe(32)
    patterns = [pattern.strip() for pattern in models.split(",") if pattern.strip()]
    if not patterns:
        raise typer.BadParameter("--models names at least one pattern.")
    entry = Entry(name, hashlib.sha256(key.encode()).hexdigest(), patterns, rate, burst)
    typer.echo(f"The key, for {name} alone; it is kept nowhere:\n{key}\n\nIts entry:", err=True)
    print(msgspec.json.encode(entry).decode())


def audit(
    file: Annotated[Path, typer.Argument(help="An audit file, or an export of a log that has its records.")],
) -> None:
    """Check the chains of a file. The first record that was changed, lost or moved is named; the status is then 1."""
    from hearth_build.cli.audit import check

    with file.open("rb") as lines:
        found = check(lines)
    for chain in found.chains.values():
        print(f"chain {chain.name}: {chain.number} records, the last has the hash {chain.hash}")
    if found.wrong:
        print(found.wrong, file=sys.stderr)
        raise typer.Exit(1)
    if not found.chains:
        print(f"{file} has no audit record", file=sys.stderr)
        raise typer.Exit(1)
