"""Every function behind one local server: the development server, the demonstration, the self-hosted form."""

from __future__ import annotations

import importlib
import os
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from fastapi_swagger import patch_fastapi

from hearth import settings
from hearth.cache import warm
from hearth.http import create_app
from hearth.task import Task


def tasks() -> tuple[Task, ...]:
    """Every task of every function."""
    folders = sorted(path.parent.name for path in Path(__file__).parent.glob("*/app.py"))
    apps = (importlib.import_module(f"functions.{folder}.app") for folder in folders)
    return tuple(task for app in apps for task in app.TASKS)


def app() -> FastAPI:
    made = create_app(tasks(), local=True, folder=Path(__file__).parent / "catalog/page")
    patch_fastapi(made, redirect_from_root_to_docs=False)  # /docs, with its scripts from this machine
    return made


def serve(store: str, host: str, port: int) -> None:
    """Serve `store` until the process is told to end; says in two lines what and where."""
    os.environ["HEARTH_STORE"] = store
    # Requests share the processors here, so each run takes one and four requests take them all (performance.md 6).
    os.environ.setdefault("HEARTH_THREADS", "1")
    settings.get.cache_clear()
    warm.cache_clear()
    print(f"Serving {', '.join(warm().registry.models()) or 'no model'} from {store}")
    address = f"http://{host}:{port}"
    print(f"Try them at {address}/, POST to {address}/models/NAME, read at {address}/docs", flush=True)
    uvicorn.run(app(), host=host, port=port, log_level="warning")
