"""Arguments and options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

CONFIGURATION = Path("hearth.toml")
"""The file in the current folder whose `store` replaces the default of --store."""

NameArgument = Annotated[str, typer.Argument(help="A model: name, name@version or name@alias.")]
ModelArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="A model: name, name@version or name@alias; or an artifact's folder.")
]
StoreOption = Annotated[str, typer.Option(envvar="HEARTH_STORE", help="s3://bucket/prefix or file:///path")]
TaskOption = Annotated[str, typer.Option(help="The task, if the model supports several, e.g. object-tracking.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def configured_store() -> str:
    """The `store` of hearth.toml in this folder; empty if there is none. Raises BadParameter for a file with errors."""
    if not CONFIGURATION.is_file():
        return ""
    import tomllib

    from hearth.strict_json import decode_text

    try:
        store = tomllib.loads(decode_text(CONFIGURATION.read_bytes())).get("store", "")
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise typer.BadParameter(f"{CONFIGURATION} cannot be read: {error}") from None
    if not isinstance(store, str) or (store and not store.startswith(("s3://", "file:///"))):
        raise typer.BadParameter(f"{CONFIGURATION}: store must be s3://bucket/prefix or file:///path, not {store!r}")
    return store
