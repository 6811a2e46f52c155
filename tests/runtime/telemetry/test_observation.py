"""What functions observe of inputs and answers, and how unusual an input is."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from hearth.models.manifest import Reference
from hearth.telemetry.features import FEATURES, class_name
from hearth.telemetry.observation import novelty, observe_boxes, observe_label, observe_pictures, observe_text
from hearth.telemetry.timing import begin, current


@pytest.fixture(autouse=True)
def timing() -> None:
    begin().observed = {}


def observed() -> dict[tuple[str, int], int]:
    return current().observed or {}


def test_a_text_has_tokens_a_script_and_characters_per_token() -> None:
    observe_text("eight chars it is", 4)
    assert {name: class_name(name, index) for name, index in observed()} == {
        "tokens": "≤ 4",
        "script": "Latin",
        "characters_per_token": "≤ 4.25",
    }


def test_pictures_have_size_and_light() -> None:
    grey = Image.fromarray(np.full((100, 200, 3), 40, np.uint8))
    assert [*observe_pictures([grey])] == [grey]
    assert {name: class_name(name, index) for name, index in observed()} == {
        "pixels": "≤ 24576",
        "aspect": "> 3" if 200 / 100 > 3 else "≤ 2",
        "brightness": "≤ 40",
        "contrast": "≤ 4",
    }


def test_a_picture_without_boxes_has_no_label() -> None:
    observe_boxes([], [])
    assert observed() == {("boxes", 0): 1}
    observe_boxes([1, 0], [0.9, 0.3])
    assert observed() == {("boxes", 0): 1, ("boxes", 2): 1, ("label", 1): 1, ("score", 17): 1}


def test_labels_beyond_the_classes_share_one() -> None:
    observe_label(257, 0.5)
    assert ("label", 1) in observed()


def test_novelty_is_high_outside_of_the_reference_only() -> None:
    brightness = np.bincount(np.random.default_rng(0).normal(16, 3, 2000).round().astype(int).clip(0, 31), minlength=32)
    pixels = [0] * 10 + [2000]
    reference = Reference("d", 2000, {"brightness": tuple(brightness.tolist()), "pixels": tuple(pixels)})
    usual = novelty(reference, {("brightness", 16): 1, ("pixels", 10): 1})
    dark = novelty(reference, {("brightness", 1): 1, ("pixels", 10): 1})
    both = novelty(reference, {("brightness", 1): 1, ("pixels", 30): 1})
    assert usual is not None
    assert dark is not None
    assert both is not None
    assert usual < 0.3 < 0.9 < dark < both <= 1
    assert novelty(reference, {("label", 1): 1}) is None
    assert FEATURES["brightness"].is_ordered
