"""A server in a process group of its own, and clients that send it requests."""

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
"""Duration of a turn."""
STARTUP_TIMEOUT = 180
"""Seconds until a server must respond."""


@contextmanager
def server(command: Sequence[str | Path], url: str, body: str, env: Mapping[str, str], folder: Path) -> Iterator[Turn]:
    """Start a server in `folder`; in a turn, CLIENTS clients send requests for SECONDS, each over one persistent
    connection.

    `peak_mb` adds up all its processes. Raises Missing with the last line of its errors if it does not respond.
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
                last_line = (errors.read().strip().splitlines() or ["no error output"])[-1]
                raise Missing(f"{error}; {last_line[:200]}") from error
            yield lambda: {**load(url, body), "peak_mb": megabytes(process.pid)}
        finally:
            with suppress(ProcessLookupError):  # all processes have ended
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def load(url: str, body: str, seconds: float = SECONDS) -> Figures:
    """Responses per second, and the median and 99th percentile of their milliseconds. Raises RuntimeError."""
    times, failures, started = list[float](), list[Exception](), time.perf_counter()

    def client() -> None:
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
        try:
            while (began := time.perf_counter()) < started + seconds:
                _post(connection, url, body)
                times.append(time.perf_counter() - began)
        except Exception as error:  # raised by the thread that waits
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=client) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise RuntimeError(f"a client failed: {failures[0]}") from failures[0]
    elapsed, sorted_times = time.perf_counter() - started, sorted(times)
    return {
        "answers_per_second": len(times) / elapsed,
        "p50_ms": statistics.median(sorted_times) * 1000,
        "p99_ms": sorted_times[int(len(sorted_times) * 0.99)] * 1000,
    }


def _post(connection: http.client.HTTPConnection, url: str, body: str) -> None:
    connection.request("POST", urlsplit(url).path, body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    content = response.read()
    if response.status not in (200, 201):
        raise RuntimeError(f"the server answered {response.status}: {content[:200]!r}")


def _wait(url: str, body: str, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + STARTUP_TIMEOUT
    while True:
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
        try:
            _post(connection, url, body)
            return
        except (OSError, RuntimeError, http.client.HTTPException) as error:
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"the server does not answer: {error}") from error
            time.sleep(0.2)
        finally:
            connection.close()


def megabytes(group: int) -> float:
    """The highest resident memory of all processes of a group, added up."""
    kilobytes = 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if os.getpgid(int(folder.name)) == group:
                peak = re.search(r"VmHWM:\s+(\d+) kB", (folder / "status").read_text())
                kilobytes += int(peak[1]) if peak else 0
        except OSError:  # the process has ended meanwhile
            continue
    return kilobytes / 1000
