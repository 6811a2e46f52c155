"""Decodes images and turns them into model inputs. The only module that reads files with Pillow."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageOps

from hearth.errors import BadRequest, PayloadTooLarge, UnsupportedMedia
from hearth.models.manifest import ImagePreprocessing, Limits

Pixels = np.ndarray[Any, np.dtype[np.float32]]
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
_RESAMPLE = {resampling.name.lower(): resampling for resampling in Image.Resampling}
MAX_PIXELS = 16_000_000
"""Largest number of pixels of all pictures of a request, unless the manifest has a limit."""
MAX_SCANS = 100
"""Largest number of scans of a JPEG. A progressive one has about ten; each is another pass over the whole picture."""


def open_images(files: Sequence[bytes], limits: Limits) -> Iterator[Image.Image]:
    """Decode images one by one as `open_image`, within `limits.pixels` in all. Raises BadRequest for an empty list."""
    if not files:
        raise BadRequest("`inputs` is an empty list; send at least one picture")
    if len(files) > limits.batch:
        raise PayloadTooLarge(f"`inputs` has {len(files)} pictures; {limits.batch} are allowed in one request")
    remaining = maximum = limits.pixels or MAX_PIXELS
    for data in files:
        try:
            picture = open_image(data, remaining)
        except PayloadTooLarge as error:
            if remaining == maximum:
                raise
            raise PayloadTooLarge(f"{error.message} after the pictures before it, {maximum} in all") from None
        remaining -= picture.width * picture.height
        yield picture


def count_pixels(data: bytes) -> int:
    """The number of pixels according to the header; 0 for a file that is no picture. Nothing is decoded."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            width, height = Image.open(io.BytesIO(data), formats=FORMATS).size
        except Exception:  # `open_image` reports it
            return 0
    return width * height


def open_image(data: bytes, max_pixels: int) -> Image.Image:
    """The first frame as upright 8-bit RGB, with transparency on white.

    The size in the header is compared with `max_pixels` before anything is decoded, because twenty kilobytes can decode
    to a gigabyte. Raises UnsupportedMedia, PayloadTooLarge, BadRequest.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of large images, which are refused below
        try:
            picture = Image.open(io.BytesIO(data), formats=FORMATS)
        except Image.DecompressionBombError:
            raise PayloadTooLarge(f"The picture has far more than the {max_pixels} pixels that are allowed") from None
        except Exception:
            raise UnsupportedMedia("The picture must be JPEG, PNG, WebP, GIF or BMP") from None
        if picture.width * picture.height > max_pixels:
            raise PayloadTooLarge(
                f"The picture has {picture.width} x {picture.height} pixels; {max_pixels} are allowed"
            )
        if picture.format == "JPEG" and data.count(b"\xff\xda") > MAX_SCANS:
            raise BadRequest(f"The picture has more than {MAX_SCANS} scans; save it as a baseline JPEG")
        try:
            picture.load()
            ImageOps.exif_transpose(picture, in_place=True)
            upright = _to_8_bits(picture)
            if upright.has_transparency_data:
                layer = upright.convert("RGBA")
                upright = Image.new("RGBA", layer.size, "white")
                upright.alpha_composite(layer)
            return upright.convert("RGB")
        except Exception:  # decoders raise unrelated classes of exceptions
            raise BadRequest("The picture is damaged: it could not be decoded to its end") from None


def _to_8_bits(picture: Image.Image) -> Image.Image:
    """Convert 16-bit grey to 8-bit grey; Pillow itself would clip it at 255."""
    if not picture.mode.startswith("I"):
        return picture
    values = np.asarray(picture) >> 8
    return Image.fromarray(np.clip(values, 0, 255, out=values).astype(np.uint8))


class Placement(NamedTuple):
    """Position of a picture on a model's canvas: canvas = picture * scale + offset, for each axis."""

    scale: tuple[float, float]
    offset: tuple[float, float]
    size: tuple[int, int]
    """Size of the picture on the canvas, in whole pixels."""


def place(picture: tuple[int, int], preprocessing: ImagePreprocessing) -> Placement:
    """The placement of a picture of (width, height).

    A letterbox's scales follow from the rounded size, so that mapping back is exact for any aspect ratio.
    """
    canvas = (preprocessing.width, preprocessing.height)
    ratios = (canvas[0] / picture[0], canvas[1] / picture[1])
    if preprocessing.resize == "stretch":
        return Placement(ratios, (0.0, 0.0), canvas)
    if preprocessing.resize == "shortest-edge-center-crop":
        factor = max(ratios)
        left, top = ((edge - side * factor) / 2 for edge, side in zip(canvas, picture, strict=True))
        return Placement((factor, factor), (left, top), canvas)
    if preprocessing.resize == "keep-aspect":
        size = fit_aspect(picture, min(canvas), max(canvas))
        return Placement((size[0] / picture[0], size[1] / picture[1]), (0.0, 0.0), size)
    width, height = (min(max(round(side * min(ratios)), 1), edge) for edge, side in zip(canvas, picture, strict=True))
    offset = ((canvas[0] - width) // 2, (canvas[1] - height) // 2) if preprocessing.centred else (0, 0)
    return Placement((width / picture[0], height / picture[1]), offset, (width, height))


def fit_aspect(picture: tuple[int, int], shortest: int, longest: int) -> tuple[int, int]:
    """(width, height) whose shorter side is `shortest`, or less so that the longer one is at most `longest`.

    The rounding is that of transformers' `get_size_with_aspect_ratio`.
    """
    short, long = sorted(picture)
    if long / short * shortest > longest:
        exact = longest * short / long
        shortest = round(exact)
    else:
        exact = float(shortest)
    other = max(int(exact * long / short), 1)
    return (shortest, other) if picture[0] <= picture[1] else (other, shortest)


def to_tensor(pictures: Iterable[Image.Image], preprocessing: ImagePreprocessing, rows: int) -> Pixels:
    """RGB pictures resized and normalised: (rows, channels, height, width) float32; rows beyond the pictures are zeros.

    With `keep-aspect` all pictures must have one size.
    """
    tensor = np.zeros((rows, len(preprocessing.mean), preprocessing.height, preprocessing.width), np.float32)
    # (value / scale - mean) / std, as one multiplication and one addition of whole planes.
    factors = [1 / (preprocessing.scale * std) for std in preprocessing.std]
    shifts = [-mean / std for mean, std in zip(preprocessing.mean, preprocessing.std, strict=True)]
    for index, picture in enumerate(pictures):
        resized = _resize(picture, preprocessing)
        if index == 0 and preprocessing.resize == "keep-aspect":
            tensor = np.zeros((rows, len(preprocessing.mean), resized.height, resized.width), np.float32)
        channels = resized.convert("L").split() if preprocessing.channels == "L" else resized.split()
        if preprocessing.channels == "BGR":
            channels = channels[::-1]
        for plane, values, factor, shift in zip(tensor[index], channels, factors, shifts, strict=True):
            np.multiply(np.asarray(values), np.float32(factor), out=plane)
            plane += np.float32(shift)
    return tensor


def _resize(picture: Image.Image, preprocessing: ImagePreprocessing) -> Image.Image:
    """The picture on the model's canvas of (width, height) pixels."""
    resample = _RESAMPLE[preprocessing.resample]
    if preprocessing.before_crop:
        return _resize_and_crop(picture, preprocessing, resample)
    if preprocessing.resize == "shortest-edge-center-crop":
        return ImageOps.fit(picture, (preprocessing.width, preprocessing.height), resample)
    placement = place(picture.size, preprocessing)
    resized = picture.resize(placement.size, resample)
    if preprocessing.resize == "keep-aspect" or resized.size == (preprocessing.width, preprocessing.height):
        return resized
    canvas = Image.new("RGB", (preprocessing.width, preprocessing.height), (preprocessing.fill,) * 3)
    canvas.paste(resized, (int(placement.offset[0]), int(placement.offset[1])))
    return canvas


def _resize_and_crop(
    picture: Image.Image, preprocessing: ImagePreprocessing, resample: Image.Resampling
) -> Image.Image:
    """The centre of the resized picture, as transformers and torchvision cut it out; what lies outside is black."""
    size = preprocessing.before_crop
    if len(size) == 1:
        short, long = sorted(picture.size)
        other = int(size[0] * long / short)
        size = (size[0], other) if picture.width <= picture.height else (other, size[0])
    resized = picture.resize((size[0], size[1]), resample)
    left, top = (resized.width - preprocessing.width) // 2, (resized.height - preprocessing.height) // 2
    return resized.crop((left, top, left + preprocessing.width, top + preprocessing.height))
