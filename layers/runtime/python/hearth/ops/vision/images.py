"""Encoded pictures as arrays. The one module that uses Pillow to read."""

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
"""Of all pictures of a request, where the manifest says nothing."""
MAX_SCANS = 100
"""Of a JPEG, which has about ten if it is progressive: each is another pass over all of the picture."""


def open_images(files: Sequence[bytes], limits: Limits) -> Iterator[Image.Image]:
    """As `open_image`, one after another; they may have `limits.pixels` together. Raises BadRequest for none."""
    if not files:
        raise BadRequest("`inputs` is an empty list; send at least one picture")
    if len(files) > limits.batch:
        raise PayloadTooLarge(f"`inputs` has {len(files)} pictures; {limits.batch} are allowed in one request")
    left = maximum = limits.pixels or MAX_PIXELS
    for data in files:
        try:
            picture = open_image(data, left)
        except PayloadTooLarge as error:
            if left == maximum:
                raise
            raise PayloadTooLarge(f"{error.message} after those before it, {maximum} in all") from None
        left -= picture.width * picture.height
        yield picture


def open_image(data: bytes, pixels: int) -> Image.Image:
    """The first frame as upright RGB of 8 bits, transparency laid on white.

    The header's width times height is compared with `pixels` before anything is decoded: twenty kilobytes can
    decode to a gigabyte. Raises UnsupportedMedia, PayloadTooLarge, BadRequest.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of what is refused right below
        try:
            picture = Image.open(io.BytesIO(data), formats=FORMATS)
        except Image.DecompressionBombError:
            raise PayloadTooLarge(f"The picture has far more than the {pixels} pixels that are allowed") from None
        except Exception:
            raise UnsupportedMedia("The picture must be JPEG, PNG, WebP, GIF or BMP") from None
        if picture.width * picture.height > pixels:
            raise PayloadTooLarge(f"The picture has {picture.width} x {picture.height} pixels; {pixels} are allowed")
        if picture.format == "JPEG" and data.count(b"\xff\xda") > MAX_SCANS:
            raise BadRequest(f"The picture has more than {MAX_SCANS} scans; save it anew, as a baseline JPEG")
        try:
            picture.load()
            ImageOps.exif_transpose(picture, in_place=True)
            upright = _eight_bits(picture)
            if upright.has_transparency_data:
                layer = upright.convert("RGBA")
                upright = Image.new("RGBA", layer.size, "white")
                upright.alpha_composite(layer)
            return upright.convert("RGB")
        except Exception:  # decoders raise whatever their format suggests
            raise BadRequest("The picture is damaged: it could not be decoded to its end") from None


def _eight_bits(picture: Image.Image) -> Image.Image:
    """16-bit grey as 8-bit grey: Pillow itself would cut it off at 255."""
    if not picture.mode.startswith("I"):
        return picture
    values = np.asarray(picture) >> 8
    return Image.fromarray(np.clip(values, 0, 255, out=values).astype(np.uint8))


class Placement(NamedTuple):
    """Where a picture lies on a model's canvas: canvas = picture * scale + offset, for each axis."""

    scale: tuple[float, float]
    offset: tuple[float, float]
    size: tuple[int, int]
    """Of the picture on the canvas, in whole pixels."""


def place(picture: tuple[int, int], how: ImagePreprocessing) -> Placement:
    """For a picture of (width, height).

    A letterbox's scales are those of the rounded size, so that the way back is exact for any proportions.
    """
    canvas = (how.width, how.height)
    ratios = (canvas[0] / picture[0], canvas[1] / picture[1])
    if how.resize == "stretch":
        return Placement(ratios, (0.0, 0.0), canvas)
    if how.resize == "shortest-edge-center-crop":
        factor = max(ratios)
        left, top = ((edge - side * factor) / 2 for edge, side in zip(canvas, picture, strict=True))
        return Placement((factor, factor), (left, top), canvas)
    width, height = (min(max(round(side * min(ratios)), 1), edge) for edge, side in zip(canvas, picture, strict=True))
    offset = ((canvas[0] - width) // 2, (canvas[1] - height) // 2) if how.centred else (0, 0)
    return Placement((width / picture[0], height / picture[1]), offset, (width, height))


def to_tensor(pictures: Iterable[Image.Image], how: ImagePreprocessing, rows: int) -> Pixels:
    """RGB pictures resized and normalised: (rows, 3, height, width) float32, zeros where there are fewer pictures."""
    found = np.zeros((rows, 3, how.height, how.width), np.float32)
    # value / scale, less the mean, over std, as one product and one sum of whole planes.
    factors = [1 / (how.scale * std) for std in how.std]
    shifts = [-mean / std for mean, std in zip(how.mean, how.std, strict=True)]
    for row, picture in zip(found, pictures, strict=False):
        channels = _on_canvas(picture, how).split()
        if how.channels == "BGR":
            channels = channels[::-1]
        for plane, values, factor, shift in zip(row, channels, factors, shifts, strict=True):
            np.multiply(np.asarray(values), np.float32(factor), out=plane)
            plane += np.float32(shift)
    return found


def _on_canvas(picture: Image.Image, how: ImagePreprocessing) -> Image.Image:
    """Resized, (height, width) pixels."""
    resample = _RESAMPLE[how.resample]
    if how.resize == "shortest-edge-center-crop":
        return ImageOps.fit(picture, (how.width, how.height), resample)
    placement = place(picture.size, how)
    resized = picture.resize(placement.size, resample)
    if resized.size == (how.width, how.height):
        return resized
    ground = Image.new("RGB", (how.width, how.height), (how.fill,) * 3)
    ground.paste(resized, (int(placement.offset[0]), int(placement.offset[1])))
    return ground
