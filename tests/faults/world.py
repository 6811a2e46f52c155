"""A small world in memory, with a clock of its own: stores with versions, a queue with dead letters, workers that take
turns at every call, and whatever may go wrong at one.

Each worker is a greenlet: the world lets one go on to its next call, and there may throttle it, lose the answer, let
time pass, or kill it. Who goes on, and what fails, is drawn from the seed alone.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from greenlet import getcurrent, greenlet

from hearth.errors import NotFound, StoreError
from hearth.storage.base import Conflict, Readable, Store

VISIBILITY = 180.0
DELIVERIES = 3


class Killed(SystemExit):
    """SIGKILL: nothing of ours may hold it."""


@dataclass(frozen=True)
class Rates:
    """How often what goes wrong, of calls."""

    kill: float = 0.0
    throttle: float = 0.0
    lost: float = 0.0
    """The call had its effect, and its answer did not come."""
    stall: float = 0.0
    """It takes longer than a message stays hidden: another worker gets the message too."""
    jump: float = 0.0
    """The clock jumps by up to an hour, back or forth."""
    repeat: float = 0.0
    """Of events: sent again, at any time; of deliveries: handed out although another has it."""


@dataclass
class Message:
    name: str
    body: str
    visible: float
    receives: int = 0
    gone: bool = False


@dataclass(frozen=True)
class Version:
    id: str
    data: bytes
    etag: str


@dataclass
class World:
    seed: int
    rates: Rates
    conditions: bool = True
    """Whether a store heeds `if_absent` and `if_match`; a control is to find that it does not."""
    now: float = 0.0
    objects: dict[str, list[Version]] = field(default_factory=dict)
    """All versions of each object, by `bucket/key`, the newest last."""
    queue: list[Message] = field(default_factory=list)
    letters: list[tuple[str, Mapping[str, str]]] = field(default_factory=list)
    """Bodies and attributes of the dead letters; those that SQS moved have no attributes."""
    overtaken: int = 0
    """Dead letters of SQS, not of ours."""
    faults: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.main = getcurrent()

    def open(self, uri: str) -> Store:
        return _Memory(self, uri)

    def call(self, effect: Callable[[], Any]) -> Any:
        """A worker's call of a service: before and after its effect, anything may happen."""
        self._turn()
        if self._happens("throttle"):
            raise StoreError("the store did not respond after 5 attempts")
        result = effect()
        self._turn()
        if self._happens("lost"):
            raise StoreError("the store did not respond after 5 attempts")
        return result

    def _turn(self) -> None:
        self.now += self.random.random() / 4
        if getcurrent() is not self.main:
            self.main.switch()
        if self._happens("kill"):
            raise Killed
        if self._happens("stall"):
            self.now += VISIBILITY * self.random.uniform(0.5, 2)
            self.main.switch()
        if self._happens("jump"):
            self.now += self.random.uniform(-3600, 3600)

    def _happens(self, fault: str) -> bool:
        rate = getattr(self.rates, fault)
        if rate and self.random.random() < rate:
            self.faults[fault] = self.faults.get(fault, 0) + 1
            return True
        return False

    # The uploads and their events

    def put(self, place: str, data: bytes, *, versioned: bool) -> Version:
        """Put an object from outside."""
        kept = self.objects.setdefault(place, [])
        version = Version(f"v{self.random.getrandbits(64):016x}" if versioned else "", data, _tag(data))
        kept[:] = [*kept, version] if versioned else [version]
        return version

    def tell(self, body: str) -> None:
        """An event into the queue: late, and perhaps several times."""
        while True:
            name = f"m{self.random.getrandbits(64):016x}"
            self.queue.append(Message(name, body, self.now + self.random.expovariate(1 / 60)))
            if not self._happens("repeat"):
                return

    # The queue

    def receive(self, most: int) -> list[Message]:
        """Up to so many messages, in any order; what was handed out too often goes to the dead letters instead."""
        ready = [message for message in self.queue if message.visible <= self.now or self._happens("repeat")]
        self.random.shuffle(ready)
        batch = []
        for message in ready[:most]:
            message.receives += 1
            if message.receives > DELIVERIES:
                self.letters.append((message.body, {}))
                self.overtaken += 1
                self.delete(message)
                continue
            message.visible = self.now + VISIBILITY
            batch.append(message)
        return batch

    def delete(self, message: Message) -> None:
        if not message.gone:
            message.gone = True
            self.queue.remove(message)

    # What the handler calls in the place of `hearth.aws.sqs`

    def send_letter(self, queue: str, body: str, attributes: Mapping[str, str]) -> None:
        self.call(lambda: self.letters.append((body, attributes)))

    def delete_message(self, queue: str, receipt: str) -> None:
        def effect() -> None:
            for message in self.queue:
                if message.name == receipt:
                    self.delete(message)
                    return

        self.call(effect)


class _Memory(Store):
    def __init__(self, world: World, uri: str) -> None:
        self.world, self.uri, self.root = world, uri, uri.removeprefix("s3://").rstrip("/")

    def get_with_etag(
        self, path: str, *, deadline: float | None = None, limit: int | None = None, version: str = ""
    ) -> tuple[bytes, str]:
        def effect() -> tuple[bytes, str]:
            for found in reversed(self.world.objects.get(f"{self.root}/{path}", ())):
                if version in ("", found.id):
                    return found.data, found.etag
            raise NotFound(f"{path} is not in the store")

        found: tuple[bytes, str] = self.world.call(effect)
        return found

    def put(self, path: str, data: bytes | Any, *, if_absent: bool = False, if_match: str | None = None) -> str:
        place = f"{self.root}/{path}"

        def effect() -> str:
            kept = self.world.objects.get(place, ())
            if self.world.conditions and ((if_absent and kept) or (if_match and kept[-1].etag != if_match)):
                raise Conflict(f"{path} is in the store already, or was changed by someone else")
            return self.world.put(place, bytes(data), versioned=True).etag

        tag: str = self.world.call(effect)
        return tag

    def open(self, path: str, start: int, length: int, size: int) -> AbstractContextManager[Readable]:
        raise NotImplementedError

    def iter_paths(self, prefix: str = "") -> Iterator[str]:
        raise NotImplementedError

    def delete(self, path: str) -> None:
        raise NotImplementedError


@dataclass
class Worker:
    """One invocation, which goes on when the world lets it."""

    world: World
    batch: list[Message]
    handle: Callable[[list[Message]], Any]
    surprise: BaseException | None = None

    def __post_init__(self) -> None:
        self.thread = greenlet(self._run, self.world.main)

    def _run(self) -> None:
        try:
            again = {failure["itemIdentifier"] for failure in self.handle(self.batch)["batchItemFailures"]}
        except Killed:
            return
        except BaseException as error:  # no invocation may end so
            self.surprise = error
            return
        for message in self.batch:
            if message.name not in again:
                self.world.delete(message)

    def go_on(self) -> bool:
        """To the next call; whether there is more to do."""
        self.thread.switch()
        return not self.thread.dead


def _tag(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()
