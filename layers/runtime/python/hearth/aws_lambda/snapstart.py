"""Lambda SnapStart: what must be in a snapshot of this process, and what must not live on in those made from it.

All environments of a version begin as the same snapshot, perhaps days after it was taken. What they would share and
must not is made anew: random state, connections, credentials (an audit chain begins with its first record). What may
have grown old is looked at again: files on disk, aliases.
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
    """Register both hooks, where Lambda's runtime takes them."""
    try:
        from snapshot_restore_py import register_after_restore, register_before_snapshot
    except ImportError:
        return
    register_before_snapshot(before_snapshot)
    register_after_restore(after_restore)


def before_snapshot() -> None:
    """Load what this function pins: a snapshot with its models in memory starts without fetching any."""
    for name in settings.get().models:
        with suppress(HearthError):  # the request that needs the model meets the same error, and tells its caller
            warm_cache().preload(name)
    forget_connections()


def after_restore() -> None:
    """Make this process one of its own."""
    random.seed()  # that of libraries: ours is the system's, which Lambda makes anew itself
    forget_connections()
    forget_credentials()
    if settings.get().store:
        warm_cache().forget_checks()
