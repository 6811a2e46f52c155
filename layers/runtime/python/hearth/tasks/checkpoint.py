"""Checkpoints: what a long computation has done so far, so that another attempt goes on from there, and how far it is.

An attempt may end at any point: its invocation's time is over, or its process dies. Attempts at once overwrite each
other's checkpoint; each is complete in itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import msgspec

from hearth.errors import NotFound, StoreError
from hearth.storage.base import Store
from hearth.telemetry.log import logger

SECONDS = 5.0
"""Time between two checkpoints; work of this time is done again at most."""
MAX_BYTES = 64 * 1024 * 1024
SUFFIX = ".json.checkpoint"
"""What the path of an upload's checkpoint has after the key."""


class Progress(msgspec.Struct, frozen=True):
    done: int
    """Processed frames."""
    total: int
    """0: unknown."""


class Stored(msgspec.Struct, frozen=True):
    """A checkpoint as it is written."""

    identity: str
    """The input, and what computes."""
    progress: Progress
    state: bytes


class Checkpoint:
    """The checkpoint of one computation, at a path of a store."""

    def __init__(self, store: Store, path: str, input_identity: str) -> None:
        self._store, self._path, self._input = store, path, input_identity
        self._saved = time.monotonic()

    def load(self, scope: str) -> bytes:
        """The state of an earlier attempt at the same computation, which `scope` names; empty: there is none."""
        try:
            stored = msgspec.msgpack.decode(self._store.get(self._path, limit=MAX_BYTES), type=Stored)
        except (NotFound, StoreError, msgspec.DecodeError):
            return b""
        return stored.state if stored.identity == self._identity(scope) else b""

    def save(self, scope: str, state: Callable[[], bytes], progress: Progress) -> None:
        """Write the state, unless that was done less than SECONDS ago. A failure is logged."""
        if time.monotonic() - self._saved < SECONDS:
            return
        self._saved = time.monotonic()
        try:
            self._store.put(self._path, msgspec.msgpack.encode(Stored(self._identity(scope), progress, state())))
        except StoreError as error:
            logger().warning("checkpoint not written", extra={"reason": error.message})

    def _identity(self, scope: str) -> str:
        return f"{self._input} {scope}"


_current: ContextVar[Checkpoint | None] = ContextVar("hearth-checkpoint", default=None)


def current() -> Checkpoint | None:
    """The checkpoint of the current computation; None: nobody would go on from it."""
    return _current.get()


@contextmanager
def use(checkpoint: Checkpoint) -> Iterator[None]:
    """Let computations of the block go on from `checkpoint`, and write it."""
    token = _current.set(checkpoint)
    try:
        yield
    finally:
        _current.reset(token)


def read_progress(store: Store, path: str) -> Progress | None:
    """How far a computation is by its checkpoint; None: it has none. Raises StoreError."""
    try:
        return msgspec.msgpack.decode(store.get(path, limit=MAX_BYTES), type=Stored).progress
    except (NotFound, msgspec.DecodeError):
        return None
