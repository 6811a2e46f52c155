"""How the `hearth` command ends when something fails: one sentence on standard error, and an exit status."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FAILURE, FAULT, INTERRUPTED = 1, 70, 130


@contextmanager
def reported() -> Iterator[None]:
    """Report an exception of the block, and exit. With HEARTH_TRACEBACK=1, Python's traceback is printed instead."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # the reader of a pipe has ended, such as `head`
        _discard_output()
        sys.exit(FAILURE)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except Exception as error:
        if os.environ.get("HEARTH_TRACEBACK"):
            raise
        sentence = describe(error)
        if sentence is None:
            _print_error(
                f"{type(error).__name__}: {error}. This is a fault of Hearth, not of what you typed: "
                "please report it with the output of the same command under HEARTH_TRACEBACK=1."
            )
            sys.exit(FAULT)
        _print_error(sentence)
        sys.exit(FAILURE)


def _discard_output() -> None:
    """Send what is still to be written to nowhere, so that Python does not complain when it exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _print_error(sentence: str) -> None:
    from rich.console import Console
    from rich.markup import escape

    Console(stderr=True).print(f"[red]error:[/red] {escape(sentence)}", highlight=False, soft_wrap=True)


def describe(error: Exception) -> str | None:
    """An expected error as a sentence that says what to do; None: nobody expected it."""
    from hearth.errors import HearthError
    from hearth_build.data.datasets import DataError
    from hearth_build.installation import install_command
    from hearth_build.recipe import GateError, RecipeError

    if isinstance(error, (HearthError, DataError, RecipeError, GateError)):
        return str(error)
    if isinstance(error, ModuleNotFoundError):
        return f"{error.name} is not installed. Install it with the export extra: {install_command('export')}"
    if isinstance(error, OSError):
        return _describe_os_error(error)
    if type(error).__module__.startswith("botocore."):  # credentials, networks and AWS's own answers
        return f"AWS: {error}"
    return None


def _describe_os_error(error: OSError) -> str:
    """What happened to which file, without the number and the quotes of Python's own message."""
    from hearth_build.cli.suggestions import file_near

    if error.errno is None:  # raised with a sentence, or urllib's wrapper around the reason
        reason = getattr(error, "reason", None)
        return _describe_os_error(reason) if isinstance(reason, OSError) else str(reason or error)
    if error.filename is None:
        return f"{error.strerror}."
    path = Path(os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes)) else str(error.filename))
    match error:
        case FileNotFoundError():
            missing = next((folder for folder in reversed(path.parents) if not folder.exists()), path)
            return f"{missing} does not exist.{file_near(missing)}"
        case IsADirectoryError():
            return f"{path} is a folder; a file is needed."
        case NotADirectoryError():
            return f"{path} is a file, or lies below one; a folder is needed."
        case PermissionError():
            return f"{path} may not be read or written by this user: permission denied."
        case _:
            return f"{path}: {error.strerror}."
