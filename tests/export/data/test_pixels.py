from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hearth.models.preprocessing import ImagePreprocessing
from hearth_build.data.datasets import DataError
from hearth_build.data.pixels import AugmentedImages, decode, feeds, normalise, survey
from hearth_build.data.report import DataReport
from hearth_build.recipe import Example

PREPROCESSING = ImagePreprocessing(width=8, height=6, resize="stretch", mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))


def example(width: int, height: int, colour: tuple[int, int, int], name: str = "") -> Example:
    file = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(file, "PNG")
    return Example(file.getvalue(), "a", name)


def test_images_that_cannot_be_decoded_are_left_out_and_named() -> None:
    report = DataReport()
    broken = Example(b"no image", "a", "broken.jpg")
    result = survey([example(40, 30, (255, 0, 0)), broken], report)
    assert [item.name for item in result.examples] == [""]
    assert result.sizes.tolist() == [[40, 30]]
    assert result.thumbnails.shape == (1, 16, 16, 3)
    assert report.warnings == ["1 images cannot be decoded and are left out: broken.jpg"]
    with pytest.raises(DataError, match=r"None of the 1 images can be decoded, for example broken\.jpg"):
        survey([broken], DataReport())


def test_images_are_decoded_onto_the_canvas_and_normalised(tmp_path: Path) -> None:
    pixels = decode([example(16, 12, (255, 0, 51))], PREPROCESSING, tmp_path / "pixels.npy")
    assert pixels.shape == (1, 6, 8, 3)
    assert np.unique(pixels.reshape(-1, 3), axis=0).tolist() == [[255, 0, 51]]
    values = normalise(pixels, PREPROCESSING)[0, :, 0, 0]
    torch.testing.assert_close(values, torch.tensor([2.0, -2.0, -1.2]))
    (batch,) = feeds(pixels, PREPROCESSING, 4, 0)
    assert batch["pixels"].shape == (1, 3, 6, 8)


def test_batches_have_each_image_once_with_its_label() -> None:
    pixels = np.arange(10, dtype=np.uint8)[:, None, None, None].repeat(6, 1).repeat(8, 2).repeat(3, 3) * 20
    batches = AugmentedImages(pixels, torch.arange(10), PREPROCESSING, mirrors=True)
    plan = batches.plan(0, 5, seed=1)
    assert sorted(index for indices in plan for index in indices) == list(range(10))
    assert plan != batches.plan(1, 5, seed=1)
    torch.manual_seed(0)
    batch = batches.collate([7, 2], 0.0)
    assert batch["labels"].tolist() == [2, 7]
    first, second = batch["pixels"]
    assert first.isfinite().all()
    assert first.flatten().median() < second.flatten().median(), "the darker image stays with its label"
