"""Asking a function's task past every protocol."""

from __future__ import annotations

from typing import Any

from hearth.models.cache import warm_cache


def ask(app: Any, name: str, request: Any) -> Any:
    """The response of the first task of the function's module `app`, by the model that `name` means now."""
    with warm_cache().get(name) as model:
        return app.predict(model, request).output
