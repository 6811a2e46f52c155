"""A function that tests the limits of its environment."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

MEGABYTE = 1024 * 1024


def handler(event: dict[str, Any], context: object) -> Any:
    (operation, value) = next(iter(event.items()))
    return {"user": user, "write": write, "fill": fill, "allocate": allocate, "spin": spin}[operation](value)


def user(_: object) -> list[int]:
    return [os.getuid(), os.getgid()]


def write(folder: str) -> str:
    """Write a file in `folder`; return the error message, or an empty string."""
    try:
        (Path(folder) / "written").write_text("")
    except OSError as error:
        return error.strerror
    return ""


def fill(megabytes: int) -> int:
    """Write a file of `megabytes`; return how many could be written."""
    path = Path("/tmp/filled")
    try:
        with path.open("wb", buffering=0) as file:
            for written in range(megabytes):
                try:
                    file.write(bytes(MEGABYTE))
                except OSError:
                    return written
        return megabytes
    finally:
        path.unlink()


def allocate(megabytes: int) -> int:
    return len(bytearray(os.urandom(MEGABYTE)) * megabytes) // MEGABYTE


def spin(seconds: float) -> float:
    """Number of processors that two busy processes get."""
    pipes = [os.pipe() for _ in range(2)]
    started = time.monotonic()
    for _, pipe in pipes:
        if not os.fork():
            while time.monotonic() < started + seconds:
                pass
            os.write(pipe, f"{time.process_time()}".encode())
            os._exit(0)
    used = sum(float(os.read(pipe, 100)) for pipe, _ in pipes)
    return used / (time.monotonic() - started)
