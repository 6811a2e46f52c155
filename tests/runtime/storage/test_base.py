"""The interface of stores: the methods that are made of others, and errors."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hearth.errors import IntegrityError, StoreError
from hearth.storage.base import AccessDenied, Conflict, Store, check_size, too_long_message


class Memory(Store):
    """A store of two objects, listed in no order."""

    def get_with_etag(
        self, path: str, *, deadline: float | None = None, limit: int | None = None, version: str = ""
    ) -> tuple[bytes, str]:
        return f"{path} {deadline} {limit}".encode(), "tag"

    def iter_paths(self, prefix: str = "") -> Iterator[str]:
        yield from (path for path in ("b", "ba", "a") if path.startswith(prefix))


def test_list_sorts_the_paths() -> None:
    assert Memory().list() == ["a", "b", "ba"]
    assert Memory().list("b") == ["b", "ba"]


def test_get_is_get_with_etag_without_the_tag() -> None:
    assert Memory().get("a", deadline=2.0, limit=3) == b"a 2.0 3"
    assert Memory().get("a") == b"a None None"


def test_a_wrong_size_names_both_sizes() -> None:
    check_size("a", 5, 5)
    for size in (4, 6):
        with pytest.raises(IntegrityError, match=f"a has {size} bytes, not the 5 that the manifest says"):
            check_size("a", size, 5)
    assert too_long_message("a", 4) == "a has more than the 4 bytes that are allowed"


def test_a_conflict_is_409_and_a_denied_object_is_a_store_error() -> None:
    assert (Conflict("x").status, Conflict("x").code) == (409, "conflict")
    assert issubclass(Conflict, StoreError)
    assert (AccessDenied("x").status, AccessDenied("x").code) == (503, "store_error")
