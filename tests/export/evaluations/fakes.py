"""Models and functions whose answers are known, for what evaluations make of them."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest


def answer_with(monkeypatch: pytest.MonkeyPatch, app: ModuleType, answer: Callable[[Any], Any]) -> None:
    """Let a function answer requests by `answer`, which gets the request and returns the output."""
    monkeypatch.setattr(app, "predict", lambda model, request: SimpleNamespace(output=answer(request)))


def model(**manifest: Any) -> Any:
    """A model with these fields in its manifest."""
    limits = SimpleNamespace(batch=2)
    return SimpleNamespace(manifest=SimpleNamespace(**{"model": "fake", "limits": limits, "head": None} | manifest))
