"""Announcements of results: events with task, model, key, top label and score, and no payload, on which rules can act.

A result is announced at least once: again if its message is delivered again. `id` tells repetitions apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from hearth import settings
from hearth.async_inference import webhook
from hearth.async_inference.results import Result
from hearth.aws import events
from hearth.models.cache import warm_cache

SOURCE, DETAIL_TYPE = "hearth", "Result Created"


class Announcement(msgspec.Struct, frozen=True, omit_defaults=True):
    id: str
    """The input's key, and its version in a versioned bucket."""
    key: str
    """The input's key."""
    model: str
    version: str
    task: str
    label: str = ""
    """The label with the highest score, if the task has labels."""
    score: float | None = None


def describe(result: Result, task: str) -> Announcement:
    key, version = result.input["key"], result.input.get("version", "")
    identity = f"{key}@{version}" if version else key
    best = max(_scores(msgspec.to_builtins(result.output)), key=lambda entry: entry["score"], default=None)
    if best is None:
        return Announcement(identity, key, result.model, result.version, task)
    return Announcement(identity, key, result.model, result.version, task, best["label"], best["score"])


def announce(document: bytes, task: str) -> None:
    """Announce a result, as it is stored, on the bus of EventBridge and to the webhook that the settings name; `task`
    is empty for the model's own.

    Raises StoreError, and what resolving the model raises.
    """
    result = msgspec.json.decode(document, type=Result)
    task = task or warm_cache().resolve(f"{result.model}@{result.version}").manifest.task
    announcement, config = describe(result, task), settings.get()
    if config.event_bus:
        events.put_event(config.event_bus, SOURCE, DETAIL_TYPE, msgspec.to_builtins(announcement))
    if config.webhook:
        webhook.post(config.webhook, config.webhook_key, announcement.id, msgspec.to_builtins(announcement))


def _scores(output: Any) -> Iterator[dict[str, Any]]:
    """The labels with scores in an output: in a list, or in lists of a list."""
    if isinstance(output, list):
        for item in output:
            yield from _scores(item)
    elif isinstance(output, dict) and isinstance(output.get("label"), str) and isinstance(output.get("score"), float):
        yield output
