"""Lambda SnapStart: what must be in a snapshot of this process, and what must not live on in those made from it.

All environments of a version begin as the same snapshot, perhaps days after it was taken. What they would share and
must not is made anew: random state, connections, credentials (an audit chain begins with its first record). What may
have grown old is looked at again: files on disk, aliases.
"""

from __future__ import annotations

import random
from contextlib import suppress

from hearth import settings
from hearth.aws import client, credentials
from hearth.errors import HearthError
from hearth.models.cache import warm


def register() -> None:
    """Give Lambda both hooks, where its runtime takes them."""
    try:
        from snapshot_restore_py import register_after_restore, register_before_snapshot
    except ImportError:
        return
    register_before_snapshot(before_snapshot)
    register_after_restore(after_restore)


def before_snapshot() -> None:
    """Load what this function pins: a snapshot with its models in memory starts without fetching any."""
    for name in settings.get().models:
        with suppress(HearthError):  # the request that needs the model will meet the same fault, and tell its caller
            warm().preload(name)
    client.forget_connections()


def after_restore() -> None:
    """Make this process one of its own."""
    random.seed()  # that of libraries: ours is the system's, which Lambda makes anew itself
    client.forget_connections()
    credentials.forget_credentials()
    if settings.get().store:
        warm().forget_checks()
