"""Requests that start when they are due, whatever became of those before them; times count from when they were due."""

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
    """From then to the end of the answer."""
    status: int
    """0: the connection failed."""


class Client:
    """Connections that are kept for the next request; bare, since it shares the processors with the server."""

    def __init__(self, port: int, path: str, body: bytes) -> None:
        head = (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        )
        self._port, self._request = port, head.encode() + b"\r\n\r\n" + body
        self._free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def ask(self) -> int:
        """The status of the answer, read to its end; 0 where the connection failed."""
        while self._free:
            if status := await self._over(*self._free.pop()):
                return status  # else the server had closed it, as it does after a while
        try:
            return await self._over(*await asyncio.open_connection("127.0.0.1", self._port))
        except OSError:
            return 0

    async def _over(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
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
            self._free.append((reader, writer))
        return int(head.split()[1])

    def close(self) -> None:
        for _, writer in self._free:
            writer.close()


async def open_loop(client: Client, rate: float, seconds: float, seed: int) -> list[Sample]:
    """`rate` requests a second on the mean, at random times."""
    due, dues, choice = 0.0, list[float](), random.Random(seed)
    while (due := due + choice.expovariate(rate)) < seconds:
        dues.append(due)
    began, tasks = time.perf_counter(), []

    async def one(due: float) -> Sample:
        status = await client.ask()
        return Sample(due, time.perf_counter() - began - due, status)

    for due in dues:
        await asyncio.sleep(began + due - time.perf_counter())
        tasks.append(asyncio.create_task(one(due)))
    return list(await asyncio.gather(*tasks))


async def capacity(client: Client, seconds: float, workers: int = 8) -> float:
    """Requests a second of so many that ask again as soon as they are answered."""
    until, count = time.perf_counter() + seconds, 0

    async def work() -> None:
        nonlocal count
        while time.perf_counter() < until:
            assert await client.ask() == 200
            count += 1

    await asyncio.gather(*(work() for _ in range(workers)))
    return count / seconds


def quantiles(samples: Sequence[Sample]) -> list[float]:
    """Milliseconds, at QUANTILES."""
    ordered = sorted(sample.seconds for sample in samples)
    return [1000 * ordered[min(int(q * len(ordered)), len(ordered) - 1)] for q in QUANTILES] if ordered else []


def statuses(samples: Sequence[Sample]) -> Counter[int]:
    return Counter(sample.status for sample in samples)
