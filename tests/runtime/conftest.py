"""A store that is served only to callers with a key."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hearth import settings
from hearth.auth import api_keys
from tests.support.api_keys import ENTRIES


@pytest.fixture
def locked(serving: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make this process serve the store only to callers with a key."""
    monkeypatch.setenv("HEARTH_API_KEYS", json.dumps(ENTRIES))
    settings.get.cache_clear()
    api_keys._read_table.cache_clear()
    return serving
