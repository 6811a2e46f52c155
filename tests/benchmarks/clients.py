"""A server in a process group of its own, and clients that ask it."""

from __future__ import annotations

import http.client
import os
import re
import signal
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

from tests.benchmarks.area import Figures, Missing, Turn

CLIENTS = 4
SECONDS = 6.0
"""Of a turn."""
PATIENCE = 180
"""Seconds until a server must answer."""


@contextmanager
def server(command: Sequence[str | Path], url: str, body: str, env: Mapping[str, str], folder: Path) -> Iterator[Turn]:
    """Start a server in `folder`; a turn has CLIENTS clients ask for SECONDS, each over one kept connection.

    `peak_mb` is of all its processes. Raises Missing with the last line of its errors where it does not answer.
    """
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            list(map(str, command)),
            stdout=subprocess.DEVNULL,
            stderr=errors,
            cwd=folder,
            env=os.environ | dict(env),
            start_new_session=True,
        )
        try:
            try:
                _wait(url, body, process)
            except RuntimeError as error:
                errors.seek(0)
                last = (errors.read().strip().splitlines() or ["it said nothing"])[-1]
                raise Missing(f"{error}; {last[:200]}") from error
            yield lambda: {**load(url, body), "peak_mb": megabytes(process.pid)}
        finally:
            with suppress(ProcessLookupError):  # all of them have ended
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def load(url: str, body: str, seconds: float = SECONDS) -> Figures:
    """Answers a second, and milliseconds of an answer: the median and the 99th percentile. Raises RuntimeError."""
    times, failed, started = list[float](), list[Exception](), time.perf_counter()

    def client() -> None:
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
        try:
            while (began := time.perf_counter()) < started + seconds:
                _ask(connection, url, body)
                times.append(time.perf_counter() - began)
        except Exception as error:  # told by the thread that waits
            failed.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=client) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise RuntimeError(f"a client failed: {failed[0]}") from failed[0]
    passed, ranked = time.perf_counter() - started, sorted(times)
    return {
        "answers_per_second": len(times) / passed,
        "p50_ms": statistics.median(ranked) * 1000,
        "p99_ms": ranked[int(len(ranked) * 0.99)] * 1000,
    }


def _ask(connection: http.client.HTTPConnection, url: str, body: str) -> None:
    connection.request("POST", urlsplit(url).path, body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    said = answer.read()
    if answer.status not in (200, 201):
        raise RuntimeError(f"the server answered {answer.status}: {said[:200]!r}")


def _wait(url: str, body: str, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + PATIENCE
    while True:
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
        try:
            _ask(connection, url, body)
            return
        except (OSError, RuntimeError, http.client.HTTPException) as error:
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"the server does not answer: {error}") from error
            time.sleep(0.2)
        finally:
            connection.close()


def megabytes(group: int) -> float:
    """The highest resident memory of all processes of a group, added up."""
    found = 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if os.getpgid(int(folder.name)) == group:
                peak = re.search(r"VmHWM:\s+(\d+) kB", (folder / "status").read_text())
                found += int(peak[1]) if peak else 0
        except OSError:  # it has ended meanwhile
            continue
    return found / 1000
