"""Every function behind one local server: the development server, the demonstration, the self-hosted form."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import tempfile

import uvicorn
from fastapi import FastAPI
from fastapi_swagger import patch_fastapi

from hearth import settings
from hearth.auth import api_keys
from hearth.http.asgi import create_app
from hearth.models.cache import warm_cache
from hearth.tasks.task import Task
from hearth_build import FUNCTIONS
from hearth_build.cli import serve_uploads


def tasks() -> tuple[Task, ...]:
    """Every task of every function."""
    folders = sorted(path.parent.name for path in FUNCTIONS.glob("*/app.py"))
    apps = (importlib.import_module(f"hearth_functions.{folder}.app") for folder in folders)
    return tuple(task for app in apps for task in getattr(app, "TASKS", ()))  # a hook of the deployment has none


def app() -> FastAPI:
    api_keys.key_table()  # what is wrong with them is said now, and not to the first caller
    all_tasks = tasks()
    made = create_app(all_tasks, local=True, folder=FUNCTIONS / "catalog/page")
    if settings.get().uploads.startswith("file:"):
        serve_uploads.install(made, all_tasks)
    patch_fastapi(made, redirect_from_root_to_docs=False)  # /docs, with its scripts from this machine
    return made


def serve(store: str, host: str, port: int) -> None:
    """Serve `store` until the process is told to end; says in two lines what and where."""
    os.environ["HEARTH_STORE"] = store
    # Requests share the processors here, so each run takes one and four requests take them all (performance.md 6).
    os.environ.setdefault("HEARTH_THREADS", "1")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # so that the folder goes then too
    with tempfile.TemporaryDirectory(prefix="hearth-") as folder:
        if "HEARTH_UPLOADS" not in os.environ:  # what is uploaded goes when the server does
            os.environ |= {"HEARTH_UPLOADS": f"file://{folder}/uploads", "HEARTH_OUTPUT": f"file://{folder}/results"}
        _run(store, host, port)


def _run(store: str, host: str, port: int) -> None:
    settings.get.cache_clear()
    warm_cache.cache_clear()
    print(f"Serving {', '.join(warm_cache().registry.models()) or 'no model'} from {store}")
    address = f"http://{host}:{port}"
    print(f"Try them at {address}/, POST to {address}/models/NAME, read at {address}/docs", flush=True)
    uvicorn.run(app(), host=host, port=port, log_level="warning")
