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
_RESAMPLE = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


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
    width, height = (min(max(round(side * min(ratios)), 1), edge) for edge, side in zip(canvas, picture, strict=True))
    offset = ((canvas[0] - width) // 2, (canvas[1] - height) // 2) if preprocessing.centred else (0, 0)
    return Placement((width / picture[0], height / picture[1]), offset, (width, height))


def to_tensor(pictures: Iterable[Image.Image], preprocessing: ImagePreprocessing, rows: int) -> Pixels:
    """RGB pictures resized and normalised: (rows, 3, height, width) float32; rows beyond the pictures are zeros."""
    tensor = np.zeros((rows, 3, preprocessing.height, preprocessing.width), np.float32)
    # (value / scale - mean) / std, as one multiplication and one addition of whole planes.
    factors = [1 / (preprocessing.scale * std) for std in preprocessing.std]
    shifts = [-mean / std for mean, std in zip(preprocessing.mean, preprocessing.std, strict=True)]
    for row, picture in zip(tensor, pictures, strict=False):
        channels = _resize(picture, preprocessing).split()
        if preprocessing.channels == "BGR":
            channels = channels[::-1]
        for plane, values, factor, shift in zip(row, channels, factors, shifts, strict=True):
            np.multiply(np.asarray(values), np.float32(factor), out=plane)
            plane += np.float32(shift)
    return tensor


def _resize(picture: Image.Image, preprocessing: ImagePreprocessing) -> Image.Image:
    """The picture on the model's canvas of (width, height) pixels."""
    resample = _RESAMPLE[preprocessing.resample]
    if preprocessing.resize == "shortest-edge-center-crop":
        return ImageOps.fit(picture, (preprocessing.width, preprocessing.height), resample)
    placement = place(picture.size, preprocessing)
    resized = picture.resize(placement.size, resample)
    if resized.size == (preprocessing.width, preprocessing.height):
        return resized
    canvas = Image.new("RGB", (preprocessing.width, preprocessing.height), (preprocessing.fill,) * 3)
    canvas.paste(resized, (int(placement.offset[0]), int(placement.offset[1])))
    return canvas
