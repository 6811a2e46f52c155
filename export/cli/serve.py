"""`hearth serve`: one local HTTP server for all functions, for development, demonstrations and self-hosting."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import tempfile

from fastapi import FastAPI
from fastapi_swagger import patch_fastapi

from hearth import settings
from hearth.auth import api_keys
from hearth.http import server
from hearth.http.asgi import create_app
from hearth.models.cache import warm_cache
from hearth.tasks.task import Task
from hearth_build import FUNCTIONS
from hearth_build.cli import serve_uploads


def tasks() -> tuple[Task, ...]:
    """All tasks of all functions."""
    folders = sorted(path.parent.name for path in FUNCTIONS.glob("*/app.py"))
    apps = (importlib.import_module(f"hearth_functions.{folder}.app") for folder in folders)
    return tuple(task for app in apps for task in getattr(app, "TASKS", ()))  # deployment hooks have no tasks


def app(host: str = "127.0.0.1") -> FastAPI:
    """Create the application of a server that is started for `host`. Raises SettingsError."""
    api_keys.key_table()  # reports invalid keys at the start, not to the first caller
    all_tasks = tasks()
    application = create_app(all_tasks, local=True, folder=FUNCTIONS / "catalog/page", host=host)
    if settings.get().uploads.startswith("file:"):
        serve_uploads.install(application, all_tasks)
    patch_fastapi(application, redirect_from_root_to_docs=False)  # serves the scripts of /docs locally
    return application


def serve(store: str, host: str, port: int) -> None:
    """Serve `store` until the process is terminated. Prints the models and the addresses."""
    os.environ["HEARTH_STORE"] = store
    # Requests run in parallel and share the processors, so each of them uses one thread.
    os.environ.setdefault("HEARTH_THREADS", "1")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # so that the temporary folder is deleted
    with tempfile.TemporaryDirectory(prefix="hearth-") as folder:
        if "HEARTH_UPLOADS" not in os.environ:  # uploads last as long as the server
            os.environ |= {"HEARTH_UPLOADS": f"file://{folder}/uploads", "HEARTH_OUTPUT": f"file://{folder}/results"}
        _run(store, host, port)


def _run(store: str, host: str, port: int) -> None:
    settings.get.cache_clear()
    warm_cache.cache_clear()
    print(f"Serving {', '.join(warm_cache().registry.models()) or 'no models'} from {store}")
    address = f"http://{host}:{port}"
    print(f"Page: {address}/   API: POST {address}/models/NAME   Documentation: {address}/docs", flush=True)
    server.run(app(host), host, port)
