"""The log lines of a stack's functions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from hearth.errors import NotFound
from hearth_build.cloud.stack import AwsError, Stack, client


def log_groups(stack: Stack, function: str = "") -> list[str]:
    """The log groups of a stack's functions, or of one of them. Raises NotFound for a function that it has not."""
    functions = stack.resources_of("AWS::Lambda::Function")
    if function and function not in functions:
        raise NotFound(f"The functions of {stack.name} are {', '.join(sorted(functions))}, not {function}.")
    groups = stack.resources_of("AWS::Logs::LogGroup")
    return [groups[f"{name}Log"] for name in sorted(functions) if function in ("", name) and f"{name}Log" in groups]


LATE_SECONDS = 60
"""How much later than others a line may arrive."""


class StackLog:
    """The lines of log groups, each once, oldest first."""

    def __init__(self, groups: Sequence[str], start: float, pattern: str = "") -> None:
        """`start` is in seconds since 1970; `pattern` is a filter pattern of CloudWatch Logs."""
        self._groups, self._start, self._pattern = groups, int(start * 1000), pattern
        self._seen = set[tuple[object, ...]]()

    def read(self) -> list[str]:
        """The lines that came since the last call. Raises AwsError."""
        events = [event for group in self._groups for event in self._events(group)]
        new = sorted(
            (event for event in events if _identity(event) not in self._seen), key=lambda event: event["timestamp"]
        )
        self._seen = set(map(_identity, events))
        if new:
            self._start = max(self._start, new[-1]["timestamp"] - LATE_SECONDS * 1000)
        return [event["message"].rstrip() for event in new]

    def _events(self, group: str) -> Iterator[dict[str, Any]]:
        from botocore.exceptions import BotoCoreError, ClientError

        pattern = {"filterPattern": self._pattern} if self._pattern else {}
        try:
            paginator = client("logs").get_paginator("filter_log_events")
            for page in paginator.paginate(logGroupName=group, startTime=self._start, **pattern):
                yield from page["events"]
        except (BotoCoreError, ClientError) as error:
            raise AwsError(f"The log {group} cannot be read: {error}") from error


def _identity(event: dict[str, Any]) -> tuple[object, ...]:
    return event["logStreamName"], event["timestamp"], event["message"]
