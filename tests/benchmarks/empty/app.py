"""A function that does nothing: what a cold start takes before any code of ours or of others."""

from __future__ import annotations


def handler(event: object, context: object) -> dict[str, bool]:
    return {"empty": True}
