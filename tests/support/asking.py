"""Call a function's task directly, without a protocol."""

from __future__ import annotations

from typing import Any

from hearth.models.cache import warm_cache


def predict(app: Any, name: str, request: Any) -> Any:
    """Return the output of `app.predict` with the model that `name` resolves to."""
    with warm_cache().get(name) as model:
        return app.predict(model, request).output
