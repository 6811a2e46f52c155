"""HEIC and AVIF: every way in which a phone stores a picture, and files that declare less than they hold."""

from __future__ import annotations

import io
import struct
from contextlib import suppress
from random import Random

import numpy as np
import pytest
from PIL import Image, ImageOps

from hearth import deadline
from hearth.errors import BadRequest, DeadlineExceeded, PayloadTooLarge
from hearth.ops.vision.av1_units import MAX_FRAMES, has_few_frames
from hearth.ops.vision.heif import HeifFile
from hearth.ops.vision.images import count_pixels, open_image
from tests.support.pictures import box, heic


def picture(width: int, height: int) -> Image.Image:
    colours = np.random.default_rng(1).integers(0, 255, (5, 7, 3), np.uint8)
    return Image.fromarray(colours).resize((width, height), Image.Resampling.BICUBIC)


PHOTO = picture(200, 150)


def avif(image: Image.Image, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, "AVIF", quality=95, **options)
    return file.getvalue()


def difference(image: Image.Image, expected: Image.Image) -> float:
    assert image.size == expected.size
    return float(np.abs(np.asarray(image, np.int16) - np.asarray(expected, np.int16)).mean())


@pytest.mark.parametrize("tile", [0, 64])
def test_a_heic_file_is_decoded(tile: int) -> None:
    data = heic(PHOTO, tile=tile)
    assert count_pixels(data) == 200 * 150
    assert difference(open_image(data, 30_000), PHOTO) < 3


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_heic_file_is_rotated_and_mirrored(turns: int) -> None:
    data = heic(PHOTO, transforms=(box(b"irot", bytes([turns])), box(b"imir", b"\1")))
    expected = ImageOps.mirror(PHOTO.rotate(90 * turns, expand=True))
    assert difference(open_image(data, 30_000), expected) < 3


def test_a_clean_aperture_is_cropped() -> None:
    aperture = struct.pack(">IIIIiIiI", 100, 1, 60, 1, -50, 1, 45, 1)
    data = heic(PHOTO, transforms=(box(b"clap", aperture),))
    assert difference(open_image(data, 30_000), PHOTO.crop((0, 90, 100, 150))) < 3


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_avif_file_is_upright(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    expected = PHOTO.copy()
    expected.getexif()[0x0112] = orientation
    data = avif(PHOTO, exif=exif.tobytes())
    assert difference(open_image(data, 30_000), ImageOps.exif_transpose(expected)) < 3


@pytest.mark.parametrize("range_", ["full", "limited"])
def test_the_range_of_an_avif_file_is_known(range_: str) -> None:
    assert difference(open_image(avif(PHOTO, range=range_), 30_000), PHOTO) < 3


def test_transparency_is_on_white() -> None:
    transparent = PHOTO.convert("RGBA")
    transparent.putalpha(Image.linear_gradient("L").resize(PHOTO.size))
    expected = Image.new("RGBA", PHOTO.size, "white")
    expected.alpha_composite(transparent)
    assert difference(open_image(avif(transparent), 30_000), expected.convert("RGB")) < 3


def test_grey_is_grey() -> None:
    assert difference(open_image(avif(PHOTO.convert("L")), 30_000), PHOTO.convert("L").convert("RGB")) < 3


def test_the_declared_size_is_checked_before_decoding() -> None:
    with pytest.raises(PayloadTooLarge, match="200 x 150 pixels; 29999 are allowed"):
        open_image(heic(PHOTO), 29_999)


def test_a_coded_picture_larger_than_declared_is_not_decoded() -> None:
    """The index declares 64 x 64; the stream has 1600 x 1200."""
    large = Image.new("RGB", (1600, 1200))
    with pytest.raises(BadRequest, match="could not be decoded"):
        open_image(heic(large, declared_size=(64, 64)), 1_000_000)


def test_a_file_that_declares_more_than_it_has_is_damaged() -> None:
    with pytest.raises(BadRequest, match="could not be decoded"):
        open_image(heic(PHOTO, declared_size=(400, 400)), 1_000_000)


def test_a_grid_must_fit_its_tiles() -> None:
    with pytest.raises(BadRequest, match="does not fit"):
        open_image(heic(PHOTO, tile=64, declared_size=(900, 900)), 1_000_000)


def test_an_identity_is_decoded_and_may_not_be_larger() -> None:
    """A picture that is another one, rotated: a grid of one tile whose type is replaced."""
    square = picture(64, 64)
    assert difference(open_image(heic(square, tile=64).replace(b"grid", b"iden", 1), 10_000), square) < 3
    with pytest.raises(BadRequest, match="larger than the picture"):
        open_image(heic(picture(40, 40), tile=64).replace(b"grid", b"iden", 1), 10_000)


def test_a_packet_of_many_av1_frames_is_not_decoded() -> None:
    """FFmpeg would decode all of them and return the list."""
    data = avif(Image.new("RGB", (64, 64)))
    item = HeifFile(data)._items[HeifFile(data)._primary]
    assert has_few_frames(item.data)
    assert has_few_frames(item.data * MAX_FRAMES)
    assert not has_few_frames(item.data * (MAX_FRAMES + 1))


def test_another_codec_is_named() -> None:
    with pytest.raises(BadRequest, match="'jpeg'"):
        open_image(heic(PHOTO, kind=b"jpeg"), 30_000)


def test_decoding_ends_at_the_deadline() -> None:
    data = heic(PHOTO, tile=64)
    deadline.set_seconds(-1)
    try:
        with pytest.raises(DeadlineExceeded):
            open_image(data, 30_000)
    finally:
        deadline.set_from(None)


@pytest.mark.parametrize("data", [heic(PHOTO), heic(PHOTO, tile=64), avif(PHOTO)], ids=["heic", "grid", "avif"])
def test_any_damage_is_decoded_or_a_bad_request(data: bytes) -> None:
    random = Random(0)
    for _ in range(150):
        damaged = bytearray(data)
        for _ in range(random.randint(1, 6)):
            damaged[random.randrange(12, min(len(data), 900))] = random.randrange(256)
        if random.random() < 0.3:
            del damaged[random.randrange(20, len(data)) :]
        with suppress(BadRequest):  # and its subclasses
            image = open_image(bytes(damaged), 100_000)
            assert image.width * image.height <= 100_000
