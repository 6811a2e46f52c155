"""The short form of `python -m tests.template.many_models`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.template.local_stack import Stack
from tests.template.many_models import CALLS, call_some, names_of, publish_all


def test_a_published_model_is_called_without_a_deployment(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack.aws.adopt(monkeypatch)
    names = [f"many-{name}"[:63] for name in names_of(8)]
    publish_all(stack, names, tmp_path, monkeypatch)
    counts, failures = call_some(stack, names, 2 * len(CALLS))
    assert failures == []
    assert set(counts) == set(CALLS)
