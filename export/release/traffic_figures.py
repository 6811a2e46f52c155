"""How two versions of a model behave in traffic, by the log lines of the requests that an alias's shares routed."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from hearth_build.release.aliases import percent


@dataclass
class Requests:
    """The requests that were routed to one version."""

    count: int = 0
    failures: int = 0
    """Requests that failed with 5xx, or that another version answered because this one could not be loaded."""
    ms: list[float] = field(default_factory=list)
    """Durations of successful requests that loaded no model."""

    @property
    def p95(self) -> float | None:
        """None: fewer than two requests."""
        return statistics.quantiles(self.ms, n=20, method="inclusive")[-1] if len(self.ms) > 1 else None


@dataclass
class Figures:
    """What a log says of two versions of a model since it was last read from the beginning."""

    model: str
    old: str
    new: str
    requests: dict[str, Requests] = field(default_factory=dict)
    """By version."""
    comparisons: int = 0
    """Answers that the new version computed as a shadow of the old one."""
    agreement: float = 0.0
    """Sum of their agreements; an answer that failed adds nothing."""
    distance: float = 0.0
    """The largest distance of a score."""

    def __post_init__(self) -> None:
        self.requests = {self.old: Requests(), self.new: Requests()}

    def add(self, lines: Iterable[str]) -> None:
        """Count log lines; other lines are skipped."""
        for line in lines:
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if isinstance(record, dict):
                self._add(record)

    def _add(self, record: dict[str, Any]) -> None:
        if record.get("message") == "request":
            model, _, version = str(record.get("routed", "")).partition("@")
            if model == self.model and version in self.requests:
                self._add_request(self.requests[version], version, record)
        elif record.get("message") == "shadow":
            versions = record.get("model"), record.get("version"), record.get("shadow")
            if versions == (self.model, self.old, self.new):
                self.comparisons += 1
                self.agreement += record.get("agreement", 0.0)
                self.distance = max(self.distance, record.get("distance", 0.0))

    @staticmethod
    def _add_request(requests: Requests, version: str, record: dict[str, Any]) -> None:
        status = record.get("status", 0)
        failed = status >= 500 or record.get("version", version) != version
        requests.count += 1
        requests.failures += failed
        ms = record.get("ms", {}).get("total")
        if ms is not None and status < 400 and not failed and not record.get("cold"):
            requests.ms.append(ms)

    def __str__(self) -> str:
        texts = []
        for version, requests in self.requests.items():
            text = f"version {version}: {requests.count} requests, {requests.failures} failed"
            texts.append(text + (f", p95 {requests.p95:.1f} ms" if requests.p95 is not None else ""))
        if self.comparisons:
            texts.append(f"{percent(self.agreement / self.comparisons)} agreement of {self.comparisons} answers")
        return "; ".join(texts)


@dataclass(frozen=True)
class Limits:
    """What a new version must keep to."""

    requests: int
    """Requests, or comparisons, that a step needs."""
    errors: float
    """Largest share of failed requests."""
    latency: float
    """Largest ratio of the 95th percentiles of both versions' durations."""
    agreement: float
    """Smallest average agreement with the old version; 0: it is not compared."""

    def is_enough(self, figures: Figures, share: float) -> bool:
        """Whether a step with this share has seen enough."""
        compared = not self.agreement or figures.comparisons >= self.requests
        return figures.requests[figures.new].count >= self.requests if share else compared

    def violation(self, figures: Figures) -> str:
        """Why the new version must go, as a sentence; empty: it may stay.

        Failures count as soon as there are more than the needed number of requests may have.
        """
        new, old = figures.requests[figures.new], figures.requests[figures.old]
        if new.failures > self.errors * max(new.count, self.requests):
            return f"{new.failures} of {new.count} requests to version {figures.new} failed; {percent(self.errors)} may"
        disagreement = figures.comparisons - figures.agreement
        if self.agreement and disagreement > (1 - self.agreement) * max(figures.comparisons, self.requests) + 1e-9:
            return (
                f"version {figures.new} agrees with version {figures.old} in "
                f"{percent(figures.agreement / figures.comparisons)} of {figures.comparisons} answers; "
                f"{percent(self.agreement)} are needed"
            )
        enough = min(len(new.ms), len(old.ms)) >= self.requests
        if enough and new.p95 and old.p95 and new.p95 > self.latency * old.p95:
            return (
                f"95 % of the requests take {new.p95:.1f} ms with version {figures.new}, {old.p95:.1f} ms with version "
                f"{figures.old}; {self.latency:g} times as long is allowed"
            )
        return ""
