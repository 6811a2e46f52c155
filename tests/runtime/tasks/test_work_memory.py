"""Estimates of the memory that work takes, from the input alone."""

from __future__ import annotations

import io
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hearth.models.cache import warm_cache
from hearth.task_table import TASKS
from hearth.tasks.work_memory import BYTES_PER_PIXEL, BYTES_PER_TOKEN, MIN_BYTES, estimate, estimate_tensors
from hearth_functions.image_classification import app as image
from hearth_functions.text_classification import app as text

IMAGE, TEXT = TASKS["image-classification"], TASKS["text-classification"]


def picture(side: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (side, side)).save(stream, "PNG")
    return stream.getvalue()


def image_estimate(inputs: bytes | list[bytes]) -> int:
    with warm_cache().get("resnet20-cifar10") as model:
        return estimate(IMAGE, model, image.Request(inputs))


def test_a_picture_counts_by_its_pixels_and_not_by_its_bytes(serving: Path) -> None:
    small, large = picture(200), picture(1900)
    assert len(large) < 20_000
    assert image_estimate(large) >= 1900 * 1900 * BYTES_PER_PIXEL
    assert image_estimate(small) < image_estimate(large) / 5


def test_pictures_are_decoded_one_at_a_time(serving: Path) -> None:
    assert image_estimate([picture(1900)] * 4) < 2 * image_estimate(picture(1900))


def test_the_estimate_covers_the_memory_of_a_decoded_picture(serving: Path) -> None:
    from hearth.ops.vision.images import open_image

    file = picture(1900)
    tracemalloc.start()
    np.asarray(open_image(file, 4_000_000))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < image_estimate(file)


@pytest.mark.parametrize("file", [b"", b"no picture", picture(1900)[:40]])
def test_what_is_no_picture_costs_little(serving: Path, file: bytes) -> None:
    assert image_estimate(file) < 50 * MIN_BYTES


def test_texts_count_up_to_what_the_model_reads(serving: Path) -> None:
    with warm_cache().get("sentiment-en") as model:
        limit = model.preprocessing.max_tokens * BYTES_PER_TOKEN
        for inputs, texts in (("a " * 5000, 1), (["a " * 5000] * 3, 3)):
            size = estimate(TEXT, model, text.Request(inputs))
            assert texts * limit <= size < (texts + 1) * limit
        assert estimate(TEXT, model, text.Request("a")) == MIN_BYTES


def test_tensors_count_by_their_values(serving: Path) -> None:
    with warm_cache().get("sentiment-en") as model:
        few, many = (estimate_tensors(model, {"input_ids": np.zeros((1, size), np.int64)}) for size in (10, 1000))
        assert many == 100 * few
    with warm_cache().get("resnet20-cifar10") as model:
        assert estimate_tensors(model, {"pixels": np.zeros((4, 3, 32, 32), np.float32)}) > 4 * 3 * 32 * 32 * 4
