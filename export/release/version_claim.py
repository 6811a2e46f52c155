"""Two who publish a model at once get different versions.

A version's files are written before its manifest, so that the manifest alone cannot keep a second publisher from
writing over the files of the first. A conditional write of an empty object claims the number before.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from hearth.errors import StoreError
from hearth.storage.base import Conflict, Store

MARKER = "publishing"
"""Name of the object beside the files of a version that is being published."""


@contextmanager
def claim(store: Store, model: str, version: str, *, fixed: bool) -> Iterator[str]:
    """Claim `version` of a model, or the next free one if it is not `fixed`, until the end of the context.

    The marker of a publisher that was killed stays, and its number is not given again. Raises Conflict if a fixed
    version is published or claimed, StoreError.
    """
    number = int(version)
    while problem := _refusal(store, model, number):
        if fixed:
            raise Conflict(problem)
        number += 1
    try:
        yield str(number)
    finally:
        _release(store, model, number)


def _refusal(store: Store, model: str, number: int) -> str:
    """Claim a number; returns "", or a sentence about who has it."""
    path = f"{model}/{number}/{MARKER}"
    try:
        store.put(path, b"", if_absent=True)
    except Conflict:
        return (
            f"{model}@{number} is being published by somebody else, or that was interrupted; if so, delete "
            f"{store.uri}/{path}"
        )
    # Whoever published between the listing of versions and this claim has removed the marker again.
    if f"{model}/{number}/manifest.json" in store.list(f"{model}/{number}/"):
        _release(store, model, number)
        return f"{model}@{number} was published by somebody else just now"
    return ""


def _release(store: Store, model: str, number: int) -> None:
    with suppress(StoreError):  # a publisher may lack the permission to delete; the manifest counts
        store.delete(f"{model}/{number}/{MARKER}")
