"""Encoded pictures as arrays. The one place that knows Pillow."""

from __future__ import annotations

import io
import warnings
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from hearth.errors import BadRequest, PayloadTooLarge, UnsupportedMedia
from hearth.manifest import ImagePreprocessing

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
_RESAMPLE = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def open_picture(data: bytes, pixels: int) -> Image.Image:
    """The first frame as upright RGB, transparency laid on white.

    The header's width times height is compared with `pixels` before anything is decoded: twenty kilobytes can
    decode to a gigabyte (security.md 2.3). Raises UnsupportedMedia, PayloadTooLarge, BadRequest.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of what is refused right below
        try:
            picture = Image.open(io.BytesIO(data), formats=FORMATS)
        except Exception:
            raise UnsupportedMedia("The picture must be JPEG, PNG, WebP, GIF or BMP") from None
        if picture.width * picture.height > pixels:
            raise PayloadTooLarge(f"The picture has {picture.width} x {picture.height} pixels; {pixels} are allowed")
        try:
            picture.load()
            upright = ImageOps.exif_transpose(picture)
            if upright.has_transparency_data:
                layer = upright.convert("RGBA")
                ground = Image.new("RGBA", layer.size, "white")
                upright = Image.alpha_composite(ground, layer)
            return upright.convert("RGB")
        except Exception:  # decoders raise whatever their format suggests
            raise BadRequest("The picture is damaged: it could not be decoded to its end") from None


def to_tensor(picture: Image.Image, how: ImagePreprocessing) -> np.ndarray[Any, np.dtype[np.float32]]:
    """An RGB picture resized and normalised: (3, height, width) float32."""
    size, resample = (how.width, how.height), _RESAMPLE[how.resample]
    if how.resize == "shortest-edge-center-crop":
        resized = ImageOps.fit(picture, size, resample)
    else:
        resized = picture.resize(size, resample)
    pixels = np.asarray(resized, np.float32) / 255  # (height, width, 3)
    if how.channels == "BGR":
        pixels = pixels[..., ::-1]
    normalised = (pixels - np.asarray(how.mean, np.float32)) / np.asarray(how.std, np.float32)
    return np.ascontiguousarray(normalised.transpose(2, 0, 1), np.float32)
