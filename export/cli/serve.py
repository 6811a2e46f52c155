"""`hearth serve`: one local HTTP server for all functions, for development, demonstrations and self-hosting."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import tempfile
from typing import TYPE_CHECKING, Annotated

import typer

from hearth_build import FUNCTIONS, ZOO
from hearth_build.cli.options import StoreOption

if TYPE_CHECKING:
    from fastapi import FastAPI

    from hearth.tasks.task import Task

MAX_NAMES = 20
"""Models that are named at the start; the page lists all."""


def tasks() -> tuple[Task, ...]:
    """All tasks of all functions."""
    folders = sorted(path.parent.name for path in FUNCTIONS.glob("*/app.py"))
    apps = (importlib.import_module(f"hearth_functions.{folder}.app") for folder in folders)
    return tuple(task for app in apps for task in getattr(app, "TASKS", ()))  # deployment hooks have no tasks


def app(host: str = "127.0.0.1") -> FastAPI:
    """Create the application of a server that is started for `host`. Raises SettingsError."""
    from fastapi_swagger import patch_fastapi

    from hearth import settings
    from hearth.auth import api_keys
    from hearth.http.asgi import create_app
    from hearth_build.cli import serve_uploads

    api_keys.key_table()  # reports invalid keys at the start, not to the first caller
    all_tasks = tasks()
    application = create_app(all_tasks, local=True, folder=FUNCTIONS / "catalog/page", host=host)
    if settings.get().uploads.startswith("file:"):
        serve_uploads.install(application, all_tasks)
    patch_fastapi(application, redirect_from_root_to_docs=False)  # serves the scripts of /docs locally
    return application


def serve(
    store: StoreOption = ZOO.as_uri(),
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=0, max=65535)] = 8000,
) -> None:
    """Serve all models of a store on a local HTTP server, until it is interrupted."""
    os.environ["HEARTH_STORE"] = store
    # Requests run in parallel and share the processors, so each of them uses one thread.
    os.environ.setdefault("HEARTH_THREADS", "1")
    if store.startswith(
        "file:"
    ):  # published models and moved aliases appear at once, and a folder costs nothing to read
        os.environ.setdefault("HEARTH_ALIAS_SECONDS", "1")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # so that the temporary folder is deleted
    with tempfile.TemporaryDirectory(prefix="hearth-") as folder:
        if "HEARTH_UPLOADS" not in os.environ:  # uploads last as long as the server
            os.environ |= {"HEARTH_UPLOADS": f"file://{folder}/uploads", "HEARTH_OUTPUT": f"file://{folder}/results"}
        _run(store, host, port)


def _run(store: str, host: str, port: int) -> None:
    from hearth import settings
    from hearth.http import server
    from hearth.models.cache import warm_cache
    from hearth.models.sketch_writer import WRITER
    from hearth.telemetry import tracing

    settings.get.cache_clear()
    warm_cache.cache_clear()
    models, application = warm_cache().registry.models(), app(host)
    listener = server.listen(host, port)
    address = f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"
    print(_greeting(models, store))
    print(f"Page: {address}/   API: POST {address}/models/NAME   Documentation: {address}/docs", flush=True)
    try:
        server.run(application, listener)
    finally:
        WRITER.write()
        tracing.flush()


def _greeting(models: list[str], store: str) -> str:
    if not models:
        return f"There are no models in {store} yet. Add one: hearth publish ARTIFACT --alias prod --store {store}"
    names = ", ".join(models[:MAX_NAMES]) + (", …" if len(models) > MAX_NAMES else "")
    return f"Serving {len(models)} {'model' if len(models) == 1 else 'models'} from {store}: {names}"
