"""Lambda SnapStart: prepares the process for a snapshot, and resets state after the snapshot is restored.

All environments of a version start from the same snapshot, possibly days after it was taken. State that they must not
share is reset: random state, connections, credentials (an audit chain begins with its first record). State that may be
outdated is checked again: files on disk, aliases.
"""

from __future__ import annotations

import random
from contextlib import suppress

from hearth import settings
from hearth.aws.client import forget_connections
from hearth.aws.credentials import forget_credentials
from hearth.errors import HearthError
from hearth.models.cache import warm_cache


def register() -> None:
    """Register both hooks, if Lambda's runtime supports them."""
    try:
        from snapshot_restore_py import register_after_restore, register_before_snapshot
    except ImportError:
        return
    register_before_snapshot(before_snapshot)
    register_after_restore(after_restore)


def before_snapshot() -> None:
    """Load the models that this function pins, so that the snapshot has them in memory."""
    for name in settings.get().models:
        with suppress(HearthError):  # a request for the model meets the same error and reports it
            warm_cache().preload(name)
    forget_connections()


def after_restore() -> None:
    """Reset state that environments must not share, or that may be outdated."""
    random.seed()  # for libraries; our random numbers come from the system, which Lambda reseeds
    forget_connections()
    forget_credentials()
    if settings.get().store:
        warm_cache().forget_checks()
