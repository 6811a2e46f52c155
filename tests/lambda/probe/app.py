"""A function that tries the limits of what it runs in."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

MEGABYTE = 1024 * 1024


def handler(event: dict[str, Any], context: object) -> Any:
    (what, value) = next(iter(event.items()))
    return {"user": user, "write": write, "fill": fill, "allocate": allocate, "spin": spin}[what](value)


def user(_: object) -> list[int]:
    return [os.getuid(), os.getgid()]


def write(folder: str) -> str:
    """What a file there fails with, or nothing."""
    try:
        (Path(folder) / "written").write_text("")
    except OSError as error:
        return error.strerror
    return ""


def fill(megabytes: int) -> int:
    """How many of them go into a file."""
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
    """Processors that two processes get."""
    pipes = [os.pipe() for _ in range(2)]
    began = time.monotonic()
    for _, pipe in pipes:
        if not os.fork():
            while time.monotonic() < began + seconds:
                pass
            os.write(pipe, f"{time.process_time()}".encode())
            os._exit(0)
    used = sum(float(os.read(pipe, 100)) for pipe, _ in pipes)
    return used / (time.monotonic() - began)
