"""What every store does, as one class of tests; each store's own test file runs them on a store of its kind."""

from __future__ import annotations

import threading

import pytest

from hearth.errors import IntegrityError, NotFound, StoreError
from hearth.storage.base import Conflict, Store


class StoreContract:
    """A subclass has the fixture `store`."""

    def test_a_written_object_is_read_and_listed(self, store: Store) -> None:
        tag = store.put("m/1/a b+ü.txt", b"one")
        assert store.get_with_etag("m/1/a b+ü.txt") == (b"one", tag)
        store.put("m/2/b", b"")
        assert store.get("m/2/b") == b""
        assert store.list() == ["m/1/a b+ü.txt", "m/2/b"]
        assert store.list("m/2/") == ["m/2/b"]

    def test_a_missing_object_is_not_found(self, store: Store) -> None:
        store.put("m/other", b"x")
        with pytest.raises(NotFound, match="m/none is not in the store"):
            store.get("m/none")
        with pytest.raises(NotFound, match="m/none is not in the store"), store.open("m/none", 0, 1, 1):
            pass

    def test_an_object_has_another_tag_once_it_is_changed(self, store: Store) -> None:
        first, second = store.put("a", b"one"), store.put("a", b"two")
        assert first != second
        assert store.get_with_etag("a") == (b"two", second)

    def test_conditional_writes_have_one_winner(self, store: Store) -> None:
        tag = store.put("aliases.json", b"{}", if_absent=True)
        with pytest.raises(Conflict):
            store.put("aliases.json", b"[]", if_absent=True)
        store.put("aliases.json", b"{1}", if_match=tag)
        with pytest.raises(Conflict, match=r"aliases\.json"):
            store.put("aliases.json", b"{2}", if_match=tag)
        assert store.get("aliases.json") == b"{1}"

    def test_one_of_many_concurrent_writers_wins(self, store: Store) -> None:
        outcomes: list[str] = []

        def publish(text: bytes) -> None:
            try:
                store.put("m/1/manifest.json", text, if_absent=True)
                outcomes.append(text.decode())
            except Conflict:
                pass

        threads = [threading.Thread(target=publish, args=(str(number).encode(),)) for number in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert outcomes == [store.get("m/1/manifest.json").decode()]

    @pytest.mark.parametrize(("start", "length"), [(0, 5), (0, 4), (2, 3), (1, 1), (4, 1)])
    def test_a_range_begins_where_it_should(self, store: Store, start: int, length: int) -> None:
        store.put("m/1/a", b"12345")
        buffer = memoryview(bytearray(length))
        with store.open("m/1/a", start, length, 5) as source:
            received = 0
            while received < length and (count := source.readinto(buffer[received:])):
                received += count
        assert bytes(buffer) == b"12345"[start : start + length]

    @pytest.mark.parametrize("size", [3, 9])
    def test_an_object_of_another_size_is_not_opened(self, store: Store, size: int) -> None:
        store.put("m/1/a", b"12345")
        with (
            pytest.raises(IntegrityError, match=f"m/1/a has 5 bytes, not the {size} that the manifest says"),
            store.open("m/1/a", 0, size, size),
        ):
            pass

    def test_an_object_larger_than_its_limit_is_not_read(self, store: Store) -> None:
        store.put("m/aliases.json", b"12345")
        for limit in (5, 6, 1000):
            assert store.get("m/aliases.json", limit=limit) == b"12345"
        with pytest.raises(StoreError, match=r"m/aliases\.json has more than the 4 bytes"):
            store.get("m/aliases.json", limit=4)
        assert store.get("m/aliases.json") == b"12345"

    def test_the_paths_of_a_prefix_are_found_in_folders_and_names(self, store: Store) -> None:
        for path in ("a/1", "a/deep/er/2", "ab/3", "b/4"):
            store.put(path, b"x")
        assert sorted(store.iter_paths("a")) == ["a/1", "a/deep/er/2", "ab/3"]
        assert sorted(store.iter_paths("a/de")) == ["a/deep/er/2"]
        assert list(store.iter_paths("none/such")) == []
        assert list(store.iter_paths("b/4/below")) == []
        assert next(iter(store.iter_paths("b"))) == "b/4"

    def test_a_deleted_object_is_gone_and_its_neighbours_stay(self, store: Store) -> None:
        store.put("d/x", b"1")
        store.put("d/x", b"2")
        store.put("d/xy", b"neighbour")
        store.delete("d/x")
        store.delete("d/x")  # deleting a missing object is no error
        assert store.list("d/") == ["d/xy"]
        with pytest.raises(NotFound):
            store.get("d/x")
