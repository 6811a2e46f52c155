"""Pictures of every kind become the model's input; those beyond a limit are not decoded."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hearth import deadline
from hearth.errors import BadRequest, DeadlineExceeded, PayloadTooLarge, UnsupportedMedia
from hearth.models.manifest import Limits
from hearth.ops.vision.images import MAX_SCANS, open_image, open_images
from hearth.ops.vision.jpeg_scans import read_scans
from tests.support.pictures import jpeg, repeat_last_scan, with_mpf_segment


def test_pictures_of_a_request_share_one_pixel_limit() -> None:
    files = [jpeg(Image.effect_noise((64, 64), 50).convert("RGB"))] * 4
    assert len(list(open_images(files, Limits(batch=4, pixels=4 * 64 * 64)))) == 4
    with pytest.raises(PayloadTooLarge, match="4095 are allowed after the pictures before it, 16383 in all"):
        list(open_images(files, Limits(batch=4, pixels=4 * 64 * 64 - 1)))
    with pytest.raises(PayloadTooLarge, match="3 are allowed"):
        list(open_images(files, Limits(batch=3)))
    with pytest.raises(BadRequest, match="empty"):
        list(open_images([], Limits()))


def test_a_jpeg_with_too_many_scans_is_not_decoded() -> None:
    progressive = jpeg(Image.effect_noise((64, 64), 50).convert("RGB"), progressive=True)
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


NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 255, (90, 130, 3), np.uint8))
SMOOTH = Image.fromarray(np.random.default_rng(0).integers(0, 255, (4, 5, 3), np.uint8)).resize((130, 90))
PROGRESSIVE = jpeg(NOISE, progressive=True)


def tiff(picture: Image.Image, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.copy().save(file, "TIFF", **options)  # a picture remembers the options of JPEG
    return file.getvalue()


def tiff_of_jpeg(data: bytes, size: tuple[int, int]) -> bytes:
    """A TIFF whose only strip is this JPEG: the strip of Pillow's file is replaced."""
    file = bytearray(tiff(Image.new("RGB", size), compression="raw"))
    with Image.open(io.BytesIO(bytes(file))) as picture:
        directory = int.from_bytes(file[4:8], "little")
        tags = {int.from_bytes(file[at : at + 2], "little"): at for at in _entries(file, directory)}
        assert picture.tag_v2[273]
    for tag, value in ((259, 7), (262, 6), (273, len(file)), (279, len(data)), (278, size[1])):
        if tag in tags:
            file[tags[tag] + 2 : tags[tag] + 12] = b"\4\0\1\0\0\0" + value.to_bytes(4, "little")
    return bytes(file) + data


def _entries(file: bytes, directory: int) -> list[int]:
    count = int.from_bytes(file[directory : directory + 2], "little")
    return [directory + 2 + 12 * number for number in range(count)]


@pytest.mark.parametrize("wrap", [lambda data: data, with_mpf_segment], ids=["jpeg", "mpo"])
def test_every_jpeg_has_a_limit_of_scans(wrap: Any) -> None:
    assert open_image(wrap(PROGRESSIVE), 100_000).size == (130, 90)
    with pytest.raises(BadRequest, match="more than 100 scans"):
        open_image(wrap(repeat_last_scan(PROGRESSIVE, 100)), 100_000)
    with pytest.raises(PayloadTooLarge, match="90 pixels in 60 scans, as much work as 43875 pixels; 20000 are allowed"):
        open_image(wrap(repeat_last_scan(PROGRESSIVE, 50)), 20_000)


def test_pillow_opens_the_second_format_as_mpo() -> None:
    assert Image.open(io.BytesIO(with_mpf_segment(PROGRESSIVE))).format == "MPO"


def test_a_jpeg_in_a_tiff_has_the_same_limits() -> None:
    data = repeat_last_scan(PROGRESSIVE, 100)
    assert Image.open(io.BytesIO(tiff_of_jpeg(data, NOISE.size))).info["compression"] == "jpeg"
    with pytest.raises(BadRequest, match="more than 100 scans"):
        open_image(tiff_of_jpeg(data, NOISE.size), 100_000)


def test_scans_of_all_pictures_of_a_request_count_together() -> None:
    data = repeat_last_scan(PROGRESSIVE, 86)  # 96 scans: six times the work of a usual picture
    limits = Limits(batch=4, pixels=20 * NOISE.width * NOISE.height)
    assert len(list(open_images([data] * 3, limits))) == 3
    with pytest.raises(PayloadTooLarge, match="after the pictures before it"):
        list(open_images([data] * 4, limits))


def test_what_follows_the_picture_is_no_scan() -> None:
    """The film of a motion photo holds any bytes."""
    photo = PROGRESSIVE + b"\0\0\0\x18ftypmp42" + b"\xff\xda\0\x08" * 5000
    assert read_scans(photo) == read_scans(PROGRESSIVE)
    assert np.array_equal(open_image(photo, 100_000), open_image(PROGRESSIVE, 100_000))


def test_bytes_within_a_segment_are_no_scan() -> None:
    data = jpeg(NOISE, comment=b"\xff\xda\0\x08" * 2000)
    assert read_scans(data).total == 1
    assert open_image(data, 100_000).size == (130, 90)


def test_decoding_a_jpeg_ends_at_the_deadline() -> None:
    deadline.set_seconds(-1)
    try:
        with pytest.raises(DeadlineExceeded):
            open_image(PROGRESSIVE, 100_000)
    finally:
        deadline.set_from(None)


KINDS = [{}, {"progressive": True}, {"subsampling": 0}, {"restart_marker_rows": 1}]


@pytest.mark.parametrize("options", KINDS, ids=str)
@pytest.mark.parametrize("picture", [NOISE, SMOOTH, NOISE.convert("L"), NOISE.convert("CMYK")], ids=lambda p: p.mode)
def test_a_jpeg_without_its_end_marker_is_whole(picture: Image.Image, options: dict[str, Any]) -> None:
    data = jpeg(picture, **options)
    whole = np.asarray(open_image(data, 100_000))
    for lacking in (data[:-1], data[:-2], data[:-2] + bytes(300)):
        assert np.array_equal(whole, open_image(lacking, 100_000))
    for length in range(3, len(data) // 2, len(data) // 40):
        try:
            decoded = open_image(data[:-length], 100_000)
        except BadRequest:
            continue
        assert np.array_equal(whole, decoded), f"{length} bytes are missing"
    with pytest.raises(BadRequest, match="damaged"):
        open_image(data[: len(data) // 2], 100_000)


def test_a_progressive_jpeg_without_its_last_scan_is_damaged() -> None:
    with pytest.raises(BadRequest, match="damaged"):
        open_image(PROGRESSIVE[: PROGRESSIVE.rindex(b"\xff\xda")], 100_000)


@pytest.mark.parametrize("compression", [None, "packbits", "tiff_lzw", "tiff_adobe_deflate"])
def test_the_first_page_of_a_tiff_is_decoded(compression: str | None) -> None:
    data = tiff(NOISE, compression=compression, save_all=True, append_images=[Image.new("RGB", (9, 9))])
    assert np.array_equal(open_image(data, 100_000), NOISE)


def test_a_tiff_of_jpeg_is_decoded() -> None:
    decoded = np.asarray(open_image(tiff(SMOOTH, compression="jpeg"), 100_000), np.int16)
    assert np.abs(decoded - np.asarray(SMOOTH)).mean() < 4


def test_16_bit_grey_of_a_tiff_is_scaled() -> None:
    values = np.arange(0, 65536, 64, np.uint16).reshape(32, 32)
    pixels = np.asarray(open_image(tiff(Image.fromarray(values)), 10_000))
    assert (pixels[..., 0] == values >> 8).all()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (tiff(NOISE, compression="lzma"), "compressed with lzma"),
        (tiff(NOISE, compression="zstd"), "compressed with zstd"),
        (tiff(NOISE.convert("F")), "samples of 32 bits"),
        (tiff(NOISE.convert("I")), "samples of 32 bits"),
        (b"%PDF-1.7 and so on", "this file is PDF"),
        (b"\0\0\0\x20ftypisom" + bytes(40), "this file is MP4"),
        (b"\xff\x0a" + bytes(40), "this file is JPEG XL"),
        (b"RIFF\0\0\0\0WAVEfmt ", "this file is WAV"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "this file is SVG"),
        (b"what is this", "this file is text"),
        (b"\x89PNG\r\n\x1a\n" + bytes(40), "begins as PNG, but could not be opened"),
        (bytes(40), "unknown format"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_refused_file_is_named(data: bytes, message: str) -> None:
    with pytest.raises(UnsupportedMedia, match=message):
        open_image(data, 100_000)
