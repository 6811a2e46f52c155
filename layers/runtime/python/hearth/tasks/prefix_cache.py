"""Keys and values of the last texts, so that the tokens with which a new prompt begins need not be read again: a system
prompt, or the conversation so far. Bounded by memory, and separate for each tenant, since the time of an answer would
tell what others have asked."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np
from msgspec import Struct

from hearth import settings
from hearth.auth.api_keys import current_tenant
from hearth.models.model import Model

MIN_TOKENS = 32
"""Shorter texts are read faster than they are looked up."""
Array = np.ndarray[Any, Any]


class _Entry(Struct, frozen=True, eq=False):
    model: weakref.ref[Model[Any, Any]]
    tenant: str
    tokens: Array
    keys_and_values: Array
    """(layers, 2, 1, kv_heads, capacity, head_size), of which the tokens' part is used."""

    @property
    def size(self) -> int:
        """Bytes of the used part; memory pages behind it were never written."""
        return int(self.keys_and_values.nbytes * len(self.tokens) // self.keys_and_values.shape[4])

    def common(self, tokens: Array) -> int:
        """Number of tokens with which both texts begin."""
        length = min(len(self.tokens), len(tokens))
        different = np.flatnonzero(self.tokens[:length] != tokens[:length])
        return int(different[0]) if len(different) else length


_entries: list[_Entry] = []
"""The least recently used first."""
_lock = threading.Lock()


def restore(model: Model[Any, Any], tokens: Sequence[int], keys_and_values: Array) -> int:
    """Copy keys and values of the longest known beginning of a text; returns its number of tokens.

    The last token is never among them: its logits are needed.
    """
    needed, tenant = np.asarray(tokens[:-1]), current_tenant()
    with _lock:
        candidates = [entry for entry in _entries if entry.model() is model and entry.tenant == tenant]
        best = max(candidates, key=lambda entry: entry.common(needed), default=None)
        if best is None or (length := best.common(needed)) < MIN_TOKENS:
            return 0
        _entries.remove(best)
        _entries.append(best)
    keys_and_values[:, :, :, :, :length] = best.keys_and_values[:, :, :, :, :length]
    return length


def keep(model: Model[Any, Any], tokens: Sequence[int], keys_and_values: Array) -> None:
    """Keep a text's keys and values, which nothing may change any more, in place of those of its own beginnings."""
    entry = _Entry(weakref.ref(model), current_tenant(), np.asarray(tokens), keys_and_values)
    limit = settings.get().prefix_memory
    if len(tokens) < MIN_TOKENS or entry.size > limit:
        return
    with _lock:
        _entries[:] = [old for old in _entries if old.model() is not None and not _covers(entry, old)]
        _entries.append(entry)
        while sum(old.size for old in _entries) > limit:
            del _entries[0]


def _covers(entry: _Entry, old: _Entry) -> bool:
    """Whether the new text begins with the old one."""
    is_same = old.model() is entry.model() and old.tenant == entry.tenant
    return is_same and old.common(entry.tokens) == len(old.tokens)


def clear() -> None:
    with _lock:
        _entries.clear()
