"""One store for all clients, served by the local server and, as events of each front door, by the Lambda handler."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvicorn
from msgspec.structs import replace

from hearth import settings
from hearth.aws_lambda.handler import create_handler
from hearth.models.cache import warm_cache
from hearth_build import ZOO
from hearth_build.cli import serve
from tests.clients.bridge import FORMS, serve_handler
from tests.functions import checkpoints
from tests.functions.test_text_generation import save as save_llama


@contextmanager
def run_server(app: object) -> Iterator[str]:
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning"))  # type: ignore[arg-type]
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(20)


@contextmanager
def serve_through(front_door: str) -> Iterator[str]:
    """Yield the address of the local server, or of a bridge that sends a front door's events to the Lambda handler."""
    server = (
        run_server(serve.app()) if front_door == "local" else serve_handler(front_door, create_handler(serve.tasks()))
    )
    with server as address:
        yield address


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The zoo, and models with random weights for the tasks that it lacks: `masks`, `answers`, `entails`, and `talks`,
    which has a chat template and characters of several tokens."""
    work = tmp_path_factory.mktemp("clients")
    shutil.copytree(ZOO, work / "store")
    checkpoints.put_random(work, work / "store")
    save_llama(work / "talks", "llama")
    model = checkpoints.build_model(work / "talks", work / "talks" / "made")
    checkpoints.put(replace(model.manifest, model="talks"), work / "talks" / "made", work / "store")
    return work / "store"


@pytest.fixture(scope="session", params=["local", *FORMS])
def server(request: pytest.FixtureRequest, store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the local server or of a bridge to the handler of all functions."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEARTH_STORE", store.as_uri())
        patch.setenv("HEARTH_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("HEARTH_THREADS", "1")
        settings.get.cache_clear()
        warm_cache.cache_clear()
        with serve_through(request.param) as address:
            yield address
    settings.get.cache_clear()
    warm_cache.cache_clear()
