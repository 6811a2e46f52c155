"""A rollout: a new version gets a growing share of an alias's callers, and none any more if it does worse."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hearth.errors import BadRequest, HearthError, NotFound
from hearth.models.registry import Alias, Split
from hearth.storage.base import Store
from hearth_build.release import aliases
from hearth_build.release.aliases import percent
from hearth_build.release.traffic_figures import Figures, Limits

POLL_SECONDS = 2.0


class RolledBack(HearthError):
    """The new version did worse, or too few requests showed how it does; the alias's own version answers again."""


class Log(Protocol):
    def read(self) -> Sequence[str]:
        """The lines that came since the last call."""


class FileLog:
    """The log of a server, in a file to which it appends."""

    def __init__(self, path: Path) -> None:
        """Raises NotFound."""
        if not path.is_file():
            raise NotFound(f"There is no log {path}. Start the server with its output in it: hearth serve … > {path}")
        self._path, self._position, self._rest = path, path.stat().st_size, b""

    def read(self) -> Sequence[str]:
        if self._path.stat().st_size < self._position:  # a new file has taken its place
            self._position, self._rest = 0, b""
        with self._path.open("rb") as file:
            file.seek(self._position)
            data = self._rest + file.read()
            self._position = file.tell()
        *lines, self._rest = data.split(b"\n")
        return [line.decode(errors="replace") for line in lines]


@dataclass(frozen=True)
class Plan:
    """How a version is rolled out."""

    model: str
    alias: str
    version: str
    shares: Sequence[float]
    """Of each step, growing; 0: the version is only compared, as a shadow."""
    shadow: float
    """Share of the requests whose answers the new version computes too."""
    seconds: float
    """Shortest time of a step."""
    wait_seconds: float
    """Longest time of a step, in which the needed requests must come."""
    limits: Limits


class Rollout:
    """A rollout of one version. `report` gets a sentence at each step."""

    def __init__(
        self,
        store: Store,
        log: Log,
        plan: Plan,
        report: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Raises BadRequest, NotFound, StoreError for a version that cannot be rolled out."""
        self._store, self._log, self._plan, self._report = store, log, plan, report
        self._clock, self._sleep = clock, sleep
        current = aliases.read_alias(store, plan.model, plan.alias)
        if current.canary and current.canary.version != plan.version:
            raise BadRequest(
                f"{plan.model}@{plan.alias} is {aliases.describe(current)} already; end that first with "
                f"`hearth alias {plan.model} {plan.alias} --rollback`, or with --promote"
            )
        self._current = current
        self._begun = current.canary.share if current.canary else -1.0

    def run(self) -> Alias:
        """Raise the share step by step, and promote the version at last. A rollout that was interrupted goes on with
        the share that it has reached.

        Raises RolledBack; BadRequest if others change the alias meanwhile; StoreError.
        """
        plan = self._plan
        for share in [share for share in plan.shares if share >= self._begun] or [self._begun]:
            self._write(share)
            self._watch(share)
        self._check_unchanged()
        return aliases.promote(self._store, plan.model, plan.alias)

    def _write(self, share: float) -> None:
        plan = self._plan
        self._check_unchanged()
        self._current = aliases.set_canary(self._store, plan.model, plan.alias, plan.version, share)
        shadow = Split(plan.version, plan.shadow) if plan.limits.agreement else None
        if shadow and self._current.shadow != shadow:
            self._current = aliases.set_shadow(self._store, plan.model, plan.alias, plan.version, plan.shadow)

    def _watch(self, share: float) -> None:
        """Let a step run until it has seen enough. Raises RolledBack, BadRequest."""
        plan, limits = self._plan, self._plan.limits
        figures = Figures(plan.model, self._current.version, plan.version)
        begin = self._clock()
        self._report(f"{percent(share)} of the callers get version {plan.version}.")
        while True:
            self._sleep(POLL_SECONDS)
            figures.add(self._log.read())
            self._check_unchanged()
            if violation := limits.violation(figures):
                self._roll_back(violation, figures)
            elapsed = self._clock() - begin
            if elapsed >= plan.seconds and limits.is_enough(figures, share):
                self._report(f"  {figures}")
                return
            if elapsed >= max(plan.wait_seconds, plan.seconds):
                self._roll_back(
                    f"in {elapsed / 60:.0f} minutes there were fewer than {limits.requests} requests to judge by. Give "
                    "a smaller --requests or a longer --wait-minutes. Callers keep their version, so where there are "
                    "few API keys, let clients send the header X-Hearth-Session",
                    figures,
                )

    def _roll_back(self, reason: str, figures: Figures) -> None:
        aliases.rollback(self._store, self._plan.model, self._plan.alias)
        raise RolledBack(f"Rolled back to version {self._current.version}: {reason} ({figures})")

    def _check_unchanged(self) -> None:
        plan = self._plan
        found = aliases.read_alias(self._store, plan.model, plan.alias)
        if found != self._current:
            raise BadRequest(
                f"{plan.model}@{plan.alias} was changed meanwhile and is {aliases.describe(found)}; this rollout ends"
            )
