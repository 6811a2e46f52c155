"""Pictures of every kind become the model's input; those beyond a limit are not decoded."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hearth.errors import BadRequest, PayloadTooLarge
from hearth.models.manifest import Limits
from hearth.ops.vision.images import MAX_SCANS, open_image, open_images


def jpeg(**options: Any) -> bytes:
    file = io.BytesIO()
    Image.effect_noise((64, 64), 50).convert("RGB").save(file, "JPEG", **options)
    return file.getvalue()


def test_pictures_of_a_request_share_one_pixel_limit() -> None:
    files = [jpeg()] * 4
    assert len(list(open_images(files, Limits(batch=4, pixels=4 * 64 * 64)))) == 4
    with pytest.raises(PayloadTooLarge, match="4095 are allowed after the pictures before it, 16383 in all"):
        list(open_images(files, Limits(batch=4, pixels=4 * 64 * 64 - 1)))
    with pytest.raises(PayloadTooLarge, match="3 are allowed"):
        list(open_images(files, Limits(batch=3)))
    with pytest.raises(BadRequest, match="empty"):
        list(open_images([], Limits()))


def test_a_jpeg_with_too_many_scans_is_not_decoded() -> None:
    progressive = jpeg(progressive=True)
    assert open_image(progressive, 10_000).size == (64, 64)
    last_scan = progressive.rindex(b"\xff\xda")
    many = progressive[:last_scan] + progressive[last_scan:-2] * MAX_SCANS + b"\xff\xd9"
    with pytest.raises(BadRequest, match="100 scans"):
        open_image(many, 10_000)


def test_16_bit_grey_is_scaled_to_8_bits() -> None:
    values = np.arange(0, 65536, 64, np.uint16).reshape(32, 32)
    file = io.BytesIO()
    Image.fromarray(values).save(file, "PNG")
    pixels = np.asarray(open_image(file.getvalue(), 10_000))
    assert (pixels[..., 0] == values >> 8).all()
