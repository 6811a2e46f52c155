"""image-segmentation: masks of a graph whose logits are the colours of the picture."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hearth.errors import BadRequest
from hearth.models.heads import Segmenter
from hearth.models.manifest import Limits
from hearth.models.preprocessing import ImagePreprocessing
from hearth_functions.image_segmentation import app

LABELS = ("red", "green", "blue")


def model() -> Any:
    """The label of a pixel is its largest channel."""
    preprocessing = ImagePreprocessing(32, 16, "stretch", (0.0,) * 3, (1.0,) * 3, resample="nearest")
    return SimpleNamespace(
        manifest=SimpleNamespace(labels=LABELS, limits=Limits(batch=4, pixels=10**6)),
        preprocessing=preprocessing,
        head=Segmenter(),
        input_names={"main": ["pixels"]},
        run=lambda feeds: [feeds["pixels"]],
    )


def picture(width: int = 64, height: int = 32) -> bytes:
    """Red on the left, blue on the right quarter."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, : 3 * width // 4, 0] = 200
    pixels[:, 3 * width // 4 :, 2] = 200
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def predict(inputs: Any, **parameters: Any) -> Any:
    return app.predict(model(), app.Request(inputs, app.Parameters(**parameters))).output


def test_each_label_of_the_picture_has_a_mask_of_its_size() -> None:
    segments = predict(picture())
    assert [(item.label, item.score, item.share) for item in segments] == [("red", None, 0.75), ("blue", None, 0.25)]
    mask = np.asarray(Image.open(io.BytesIO(segments[1].mask)))
    assert mask.shape == (32, 64)
    assert set(np.unique(mask)) == {0, 255}
    assert (mask[:, 48:] == 255).all()
    assert not mask[:, :48].any()


def test_masks_as_run_lengths_go_column_by_column() -> None:
    red, blue = predict(picture(), mask_format="rle")
    assert (red.mask.size, red.mask.counts) == ((32, 64), [0, 48 * 32, 16 * 32])
    assert blue.mask.counts == [48 * 32, 16 * 32]


def test_a_list_of_pictures_has_a_list_of_answers() -> None:
    answers = predict([picture(), picture(8, 8)])
    assert [len(segments) for segments in answers] == [2, 2]


def test_the_picture_is_returned_with_its_segments_tinted() -> None:
    answer = predict(picture(), annotate=True)
    assert [item.label for item in answer.segments] == ["red", "blue"]
    assert Image.open(io.BytesIO(answer.picture)).size == (64, 32)
    with pytest.raises(BadRequest, match="works with one picture"):
        predict([picture()], annotate=True)
