"""A simulated world in memory with its own clock: stores with versions, a queue with dead letters, workers that take
turns at every call, and the faults of calls.

Each worker is a greenlet. The world resumes one until its next call, and there may throttle it, lose the response, let
time pass, or kill it. The seed alone decides which worker runs and what fails.
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
    """Simulates SIGKILL: no code of ours may catch it."""


@dataclass(frozen=True)
class Rates:
    """Probability of each fault, per call."""

    kill: float = 0.0
    throttle: float = 0.0
    lost: float = 0.0
    """The call has its effect, but its response is lost."""
    stall: float = 0.0
    """The call takes longer than the visibility timeout, so that another worker gets the message too."""
    jump: float = 0.0
    """The clock jumps by up to an hour, forward or backward."""
    repeat: float = 0.0
    """An event is sent again at any time, or a message is delivered although another worker has it."""


@dataclass
class Message:
    name: str
    body: str
    visible: float
    receives: int = 0
    deleted: bool = False


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
    """Whether a store respects `if_absent` and `if_match`; the control tests switch it off."""
    now: float = 0.0
    objects: dict[str, list[Version]] = field(default_factory=dict)
    """All versions of each object, by `bucket/key`, the newest last."""
    queue: list[Message] = field(default_factory=list)
    letters: list[tuple[str, Mapping[str, str]]] = field(default_factory=list)
    """Bodies and attributes of the dead letters; those that SQS moved have no attributes."""
    moved_by_sqs: int = 0
    """Number of dead letters that SQS moved itself."""
    faults: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.main_greenlet = getcurrent()

    def open(self, uri: str) -> Store:
        return _MemoryStore(self, uri)

    def call(self, effect: Callable[[], Any]) -> Any:
        """A worker's call of a service, with possible faults before and after its effect."""
        self._pass_turn()
        if self._draw_fault("throttle"):
            raise StoreError("the store did not respond after 5 attempts")
        result = effect()
        self._pass_turn()
        if self._draw_fault("lost"):
            raise StoreError("the store did not respond after 5 attempts")
        return result

    def _pass_turn(self) -> None:
        self.now += self.random.random() / 4
        if getcurrent() is not self.main_greenlet:
            self.main_greenlet.switch()
        if self._draw_fault("kill"):
            raise Killed
        if self._draw_fault("stall"):
            self.now += VISIBILITY * self.random.uniform(0.5, 2)
            self.main_greenlet.switch()
        if self._draw_fault("jump"):
            self.now += self.random.uniform(-3600, 3600)

    def _draw_fault(self, fault: str) -> bool:
        rate = getattr(self.rates, fault)
        if rate and self.random.random() < rate:
            self.faults[fault] = self.faults.get(fault, 0) + 1
            return True
        return False

    # The uploads and their events

    def put(self, path: str, data: bytes, *, versioned: bool) -> Version:
        """Put an object as a client does."""
        versions = self.objects.setdefault(path, [])
        version = Version(f"v{self.random.getrandbits(64):016x}" if versioned else "", data, _etag(data))
        versions[:] = [*versions, version] if versioned else [version]
        return version

    def send_event(self, body: str) -> None:
        """Send an event to the queue with a delay, perhaps several times."""
        while True:
            name = f"m{self.random.getrandbits(64):016x}"
            self.queue.append(Message(name, body, self.now + self.random.expovariate(1 / 60)))
            if not self._draw_fault("repeat"):
                return

    # The queue

    def receive(self, maximum: int) -> list[Message]:
        """Receive up to `maximum` messages in any order; those with too many deliveries become dead letters."""
        ready = [message for message in self.queue if message.visible <= self.now or self._draw_fault("repeat")]
        self.random.shuffle(ready)
        batch = []
        for message in ready[:maximum]:
            message.receives += 1
            if message.receives > DELIVERIES:
                self.letters.append((message.body, {}))
                self.moved_by_sqs += 1
                self.delete(message)
                continue
            message.visible = self.now + VISIBILITY
            batch.append(message)
        return batch

    def delete(self, message: Message) -> None:
        if not message.deleted:
            message.deleted = True
            self.queue.remove(message)

    # What the handler calls instead of `hearth.aws.sqs`

    def send_letter(self, queue: str, body: str, attributes: Mapping[str, str]) -> None:
        self.call(lambda: self.letters.append((body, attributes)))

    def change_visibility(self, queue: str, receipt: str, seconds: int) -> None:
        def effect() -> None:
            for message in self.queue:
                if message.name == receipt:
                    message.visible = self.now + seconds
                    return

        self.call(effect)

    def delete_message(self, queue: str, receipt: str) -> None:
        def effect() -> None:
            for message in self.queue:
                if message.name == receipt:
                    self.delete(message)
                    return

        self.call(effect)


class _MemoryStore(Store):
    def __init__(self, world: World, uri: str) -> None:
        self.world, self.uri, self.root = world, uri, uri.removeprefix("s3://").rstrip("/")

    def get_with_etag(
        self, path: str, *, deadline: float | None = None, limit: int | None = None, version: str = ""
    ) -> tuple[bytes, str]:
        def effect() -> tuple[bytes, str]:
            for stored in reversed(self.world.objects.get(f"{self.root}/{path}", ())):
                if version in ("", stored.id):
                    return stored.data, stored.etag
            raise NotFound(f"{path} is not in the store")

        result: tuple[bytes, str] = self.world.call(effect)
        return result

    def put(self, path: str, data: bytes | Any, *, if_absent: bool = False, if_match: str | None = None) -> str:
        key = f"{self.root}/{path}"

        def effect() -> str:
            versions = self.world.objects.get(key, ())
            if self.world.conditions and ((if_absent and versions) or (if_match and versions[-1].etag != if_match)):
                raise Conflict(f"{path} is in the store already, or was changed by someone else")
            return self.world.put(key, bytes(data), versioned=True).etag

        etag: str = self.world.call(effect)
        return etag

    def open(self, path: str, start: int, length: int, size: int) -> AbstractContextManager[Readable]:
        raise NotImplementedError

    def iter_paths(self, prefix: str = "") -> Iterator[str]:
        raise NotImplementedError

    def delete(self, path: str) -> None:
        raise NotImplementedError


@dataclass
class Worker:
    """One invocation, which the world resumes call by call."""

    world: World
    batch: list[Message]
    handle: Callable[[list[Message]], Any]
    exception: BaseException | None = None

    def __post_init__(self) -> None:
        self.thread = greenlet(self._run, self.world.main_greenlet)

    def _run(self) -> None:
        try:
            failed = {failure["itemIdentifier"] for failure in self.handle(self.batch)["batchItemFailures"]}
        except Killed:
            return
        except BaseException as error:  # an invocation must not raise
            self.exception = error
            return
        for message in self.batch:
            if message.name not in failed:
                self.world.delete(message)

    def resume(self) -> bool:
        """Run until the next call; return whether the invocation is still running."""
        self.thread.switch()
        return not self.thread.dead


def _etag(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()
