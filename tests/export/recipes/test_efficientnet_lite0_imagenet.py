from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from hearth_build.recipe import Example
from hearth_build.recipes.efficientnet_lite0_imagenet import recipe


def test_each_class_of_imagenet_is_named() -> None:
    assert len(recipe.LABELS) == 1000
    assert all(recipe.LABELS)


def test_crops_to_calibrate_and_to_measure_with_are_others(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = io.BytesIO()
    Image.linear_gradient("L").resize((200, 160)).convert("RGB").save(picture, "PNG")
    examples: list[Any] = [Example(picture.getvalue(), ())]
    monkeypatch.setattr(recipe, "IMAGES", SimpleNamespace(file=lambda: None))
    monkeypatch.setattr(recipe, "read_coco", lambda path: examples)
    first, second = recipe.crops(0), recipe.crops(1)
    assert len(first) == len(second) == recipe.CROPS // 2
    assert recipe.crops(0) == first
    assert not set(first) & set(second)
    for file in first:
        with Image.open(io.BytesIO(file)) as image:
            assert image.width == image.height >= recipe.SMALLEST
