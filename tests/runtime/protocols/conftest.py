"""The local server of the zoo."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from hearth import settings
from hearth.models.cache import warm_cache
from hearth.telemetry import statistics
from hearth_build import ZOO
from hearth_build.cli import serve


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEARTH_STORE", ZOO.as_uri())
        patch.setenv("HEARTH_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("HEARTH_THREADS", "1")
        settings.get.cache_clear()
        warm_cache.cache_clear()
        statistics.clear()
        with TestClient(serve.app(), raise_server_exceptions=False) as client:
            del client.headers["accept-encoding"]
            yield client
    settings.get.cache_clear()
    warm_cache.cache_clear()
