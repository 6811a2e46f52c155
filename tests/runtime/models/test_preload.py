"""Pinned models are fetched or loaded before the first request, and once."""

from __future__ import annotations

from pathlib import Path

import pytest

from hearth import settings
from hearth.models import preload
from hearth.models.cache import warm_cache


def test_a_prefetch_and_a_request_download_once(serving: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEARTH_MODELS", "sentiment-en")
    settings.get.cache_clear()
    warm_cache.cache_clear()
    thread = preload.start_fetch()
    with warm_cache().get("sentiment-en") as model:
        assert warm_cache().disk.bytes_fetched == model.manifest.size
    thread.join()
    assert warm_cache().disk.bytes_fetched == model.manifest.size


@pytest.mark.parametrize(("pinned", "loaded"), [("sentiment-en", 1), ("sentiment-en,resnet20-cifar10", 0)])
def test_a_single_pinned_model_is_loaded_before_the_first_request(
    serving: Path, monkeypatch: pytest.MonkeyPatch, pinned: str, loaded: int
) -> None:
    monkeypatch.setenv("HEARTH_MODELS", pinned)
    settings.get.cache_clear()
    warm_cache.cache_clear()
    preload.start_fetch().join()
    assert len(warm_cache().loaded()) == loaded
    assert len(list(warm_cache().disk.folder.iterdir())) == pinned.count(",") + 1
