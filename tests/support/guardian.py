"""Ends the processes that a test run leaves behind, however it ends: servers, their workers, and pytest's own workers.

Every process that the run starts inherits the variable MARK. The guardian, a process outside of pytest's session, waits
for the end of pytest and kills what still has the mark, with its descendants. Fixtures end their processes themselves;
this is for runs that are interrupted or killed.

`guardian.py PID MARK` is the guardian itself; it needs nothing but the standard library.
"""

from __future__ import annotations

import os
import secrets
import select
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

MARK = "PYTEST_RUN_MARK"
ROUNDS = 50
"""Largest number of sweeps; each finds what was started during the previous one."""


def start_once() -> None:
    """Mark the descendants of this process, and start a guardian for them; pytest's workers have one already."""
    if MARK in os.environ:
        return
    mark = os.environ[MARK] = secrets.token_hex(16)
    environment = {name: value for name, value in os.environ.items() if name != MARK}
    command = [sys.executable, "-I", "-S", __file__, str(os.getpid()), mark]
    null = [(os.POSIX_SPAWN_OPEN, descriptor, os.devnull, os.O_RDWR, 0) for descriptor in range(3)]
    os.posix_spawn(sys.executable, command, environment, file_actions=null, setsid=True)


def mark() -> dict[str, str]:
    """The variable for processes that do not inherit the environment; empty outside of test runs."""
    return {name: value for name, value in os.environ.items() if name == MARK}


def sweep(mark: str) -> int:
    """Kill the marked processes and their descendants; return their number."""
    children: dict[int, list[int]] = {}
    victims = []
    for pid, parent, marks in _processes():
        children.setdefault(parent, []).append(pid)
        if f"{MARK}={mark}".encode() in marks:
            victims.append(pid)
    for pid in victims:  # grows by the descendants
        victims += [child for child in children.get(pid, ()) if child not in victims]
    for pid in victims:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return len(victims)


def _processes() -> Iterator[tuple[int, int, list[bytes]]]:
    """Process id, parent's id and environment of every running process."""
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            state, parent = (folder / "stat").read_text().rpartition(") ")[2].split()[:2]
            if state != "Z" and int(folder.name) != os.getpid():
                yield int(folder.name), int(parent), (folder / "environ").read_bytes().split(b"\0")


def main(process: int, mark: str) -> None:
    with suppress(ProcessLookupError):  # it may have ended already
        select.select([os.pidfd_open(process)], [], [])
    for _ in range(ROUNDS):
        if not sweep(mark):
            return
        time.sleep(0.05)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
