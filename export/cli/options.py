"""Arguments and options that several commands have."""

from __future__ import annotations

from typing import Annotated

import typer

NameArgument = Annotated[str, typer.Argument(help="A model: name, name@version or name@alias.")]
StoreOption = Annotated[str, typer.Option(envvar="HEARTH_STORE", help="s3://bucket/prefix or file:///path")]
TaskOption = Annotated[str, typer.Option(help="The task, if the model supports several, e.g. object-tracking.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
