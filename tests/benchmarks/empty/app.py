"""A function that does nothing: the time of a cold start without any code of ours or of others."""

from __future__ import annotations


def handler(event: object, context: object) -> dict[str, bool]:
    return {"empty": True}
