"""A server under CLIENTS clients: `served.py SECONDS NAME URL BODY COMMAND...`, which starts it and ends it.

Each client asks over one kept connection and waits for the answer. Needs the standard library alone. `direct` in the
place of the URL is no server: COMMAND is the engine, which answers a line for a line.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).parent))
from turns import serve

CLIENTS = 4
PATIENCE = 180
"""Seconds until a server must answer."""


def ask(connection: http.client.HTTPConnection, path: str, body: str) -> None:
    connection.request("POST", path, body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    said = answer.read()
    if answer.status != 200:
        raise RuntimeError(f"the server answered {answer.status}: {said[:200]!r}")


def wait(url: str, body: str, server: subprocess.Popen[bytes]) -> None:
    """Until the server has answered. Raises RuntimeError where it ends or does not."""
    end, split = time.monotonic() + PATIENCE, urlsplit(url)
    while True:
        try:
            ask(http.client.HTTPConnection(split.netloc, timeout=60), split.path, body)
            return
        except (OSError, RuntimeError, http.client.HTTPException) as error:
            if server.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"the server does not answer: {error}") from error
            time.sleep(0.2)


def load(url: str, body: str, seconds: float) -> dict[str, float]:
    """Answers a second, and the median and the 99th percentile of an answer's milliseconds."""
    split, times, failed = urlsplit(url), list[float](), list[Exception]()
    started = time.perf_counter()

    def client() -> None:
        connection = http.client.HTTPConnection(split.netloc, timeout=60)
        while (began := time.perf_counter()) < started + seconds:
            try:
                ask(connection, split.path, body)
            except Exception as error:
                failed.append(error)
                return
            times.append(time.perf_counter() - began)

    threads = [threading.Thread(target=client) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]
    passed = time.perf_counter() - started
    ranked = sorted(times)
    return {
        "answers_per_second": len(times) / passed,
        "p50_ms": statistics.median(ranked) * 1000,
        "p99_ms": ranked[int(len(ranked) * 0.99)] * 1000,
    }


def megabytes(group: int) -> float:
    """The highest resident memory of all processes of the group, added up."""
    found = 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if os.getpgid(int(folder.name)) == group:
                peak = re.search(r"VmHWM:\s+(\d+) kB", (folder / "status").read_text())
                found += int(peak[1]) if peak else 0
        except (OSError, ValueError):  # it has ended meanwhile
            continue
    return found / 1000


def main() -> None:
    seconds, url, body, command = float(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4:]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=sys.stderr, start_new_session=True)
    try:
        wait(url, body, server)
        serve(lambda: {**load(url, body, seconds), "server_mb": megabytes(server.pid)})
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    main()
