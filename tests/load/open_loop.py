"""An open-loop client: requests start when they are due, and their times count from then."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

QUANTILES = (0.5, 0.95, 0.99, 0.999)


@dataclass(frozen=True)
class Sample:
    due: float
    """Seconds since the phase began."""
    seconds: float
    """From the due time to the end of the response."""
    status: int
    """0 if the connection failed."""


class Client:
    """A minimal client with persistent connections; minimal because it shares the processors with the server."""

    def __init__(self, port: int, path: str, body: bytes) -> None:
        head = (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        )
        self._port, self._request = port, head.encode() + b"\r\n\r\n" + body
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def send(self) -> int:
        """Send a request, read the whole response and return its status; 0 if the connection failed."""
        while self._idle:
            if status := await self._send_over(*self._idle.pop()):
                return status  # otherwise, the server had closed the idle connection
        try:
            return await self._send_over(*await asyncio.open_connection("127.0.0.1", self._port))
        except OSError:
            return 0

    async def _send_over(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
        try:
            writer.write(self._request)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            await reader.readexactly(int(head.partition(b"content-length:")[2].split()[0]))
        except (OSError, asyncio.IncompleteReadError):
            writer.close()
            return 0
        if b"connection: close" in head:
            writer.close()
        else:
            self._idle.append((reader, writer))
        return int(head.split()[1])

    def close(self) -> None:
        for _, writer in self._idle:
            writer.close()


async def open_loop(client: Client, rate: float, seconds: float, seed: int) -> list[Sample]:
    """Send `rate` requests per second on average, at random times."""
    due, due_times, rng = 0.0, list[float](), random.Random(seed)
    while (due := due + rng.expovariate(rate)) < seconds:
        due_times.append(due)
    started, tasks = time.perf_counter(), []

    async def send(due: float) -> Sample:
        status = await client.send()
        return Sample(due, time.perf_counter() - started - due, status)

    for due in due_times:
        await asyncio.sleep(started + due - time.perf_counter())
        tasks.append(asyncio.create_task(send(due)))
    return list(await asyncio.gather(*tasks))


async def capacity(client: Client, seconds: float, workers: int = 8) -> float:
    """Requests per second of `workers` that send the next request as soon as they have a response."""
    end, count = time.perf_counter() + seconds, 0

    async def work() -> None:
        nonlocal count
        while time.perf_counter() < end:
            assert await client.send() == 200
            count += 1

    await asyncio.gather(*(work() for _ in range(workers)))
    return count / seconds


def quantiles(samples: Sequence[Sample]) -> list[float]:
    """Milliseconds, at QUANTILES."""
    ordered = sorted(sample.seconds for sample in samples)
    return [1000 * ordered[min(int(q * len(ordered)), len(ordered) - 1)] for q in QUANTILES] if ordered else []


def statuses(samples: Sequence[Sample]) -> Counter[int]:
    return Counter(sample.status for sample in samples)
