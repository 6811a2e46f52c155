"""Inputs beyond a limit are refused before they are processed, with the limit in the message."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers

from hearth.errors import BadRequest, PayloadTooLarge
from hearth.models.manifest import Limits
from hearth.ops.text.windows import (
    MAX_CHARACTERS,
    MAX_TOTAL_CHARACTERS,
    check_lengths,
    list_texts,
    tokenize_whole,
    windows,
)
from hearth.ops.vision.images import MAX_SCANS, open_image, open_images
from hearth.protocols.open_inference.tensors import from_bytes

LIMITS = Limits(batch=4, characters=1000)


@pytest.mark.parametrize(
    ("inputs", "limits", "message"),
    [
        ([], LIMITS, "empty list"),
        (["a"] * 5, LIMITS, "4 are allowed"),
        ("a" * 1001, LIMITS, "1000 are allowed"),
        ("a" * (MAX_CHARACTERS + 1), Limits(), "100000 are allowed"),
        ("\ufdfa" * 56, LIMITS, "1008 characters once ligatures are written out; 1000"),
        (["a" * 90_000] * 12, Limits(), f"{MAX_TOTAL_CHARACTERS} are allowed"),
    ],
)
def test_texts_are_measured_before_tokenization(inputs: str | list[str], limits: Limits, message: str) -> None:
    with pytest.raises(BadRequest, match=message):
        list_texts(inputs, limits)


def test_texts_within_the_limits_pass() -> None:
    assert list_texts(["a" * 1000, "\ufdfa" * 55, "我" * 1000], LIMITS)
    check_lengths(["a" * 100_000] * 10, Limits())


def test_windows_are_counted_before_they_are_built() -> None:
    tokenizer = Tokenizer(models.WordLevel({"a": 0}, unk_token="a"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()

    def row() -> Any:
        return tokenize_whole(tokenizer, "a " * 1000)

    assert len(windows(tokenizer, row(), 10, 5, maximum=199)) == 199
    with pytest.raises(PayloadTooLarge, match="windows"):
        windows(tokenizer, row(), 10, 5, maximum=198)


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


def test_no_more_elements_are_read_than_the_shape_has() -> None:
    with pytest.raises(BadRequest, match="2 elements"):
        from_bytes("x", "BYTES", [2], bytes(4) * 1_000_000)
    assert from_bytes("x", "BYTES", [3], bytes(12)).tolist() == [b""] * 3
