"""How an alias splits its traffic: which callers get its canary, and which requests its shadow computes too."""

from __future__ import annotations

import hashlib
import random
from typing import TYPE_CHECKING

from hearth.auth import api_keys

if TYPE_CHECKING:
    from hearth.models.registry import Alias


def choose(model: str, alias: Alias) -> tuple[str, str]:
    """The version that answers this request, and the one that computes the answer too; empty: none does.

    A session keeps its version while the share does not change, and keeps the canary while the share grows. Requests
    of unknown callers are spread at random. Work without a request gets the alias's own version, and no shadow.
    """
    session = api_keys.current_session()
    if session is None:
        return alias.version, ""
    version, canary, shadow = alias.version, alias.canary, alias.shadow
    if canary and (point(model, canary.version, session) if session else _random()) < canary.share:
        version = canary.version
    if shadow and shadow.version != version and _random() < shadow.share:
        return version, shadow.version
    return version, ""


def _random() -> float:
    return random.random()  # noqa: S311 -- no secret depends on it


def point(model: str, version: str, session: str) -> float:
    """Where a session lies between 0 and 1: it gets the canary `version` if that is below the share.

    It depends on the version, so that not the same callers get every canary.
    """
    digest = hashlib.sha256(f"{model}@{version} {session}".encode(errors="backslashreplace")).digest()
    return float(int.from_bytes(digest[:6]) / 2**48)
