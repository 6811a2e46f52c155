"""Decodes pictures and turns them into model inputs. The only module that reads files with Pillow."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageChops, ImageOps
from PIL.ImageFile import ImageFile

from hearth import deadline
from hearth.errors import BadRequest, DeadlineExceeded, HearthError, PayloadTooLarge, UnsupportedMedia
from hearth.models.manifest import Limits
from hearth.models.preprocessing import ImagePreprocessing
from hearth.ops.file_kinds import describe, kind_of
from hearth.ops.vision.heif import HeifError, HeifFile
from hearth.ops.vision.jpeg_scans import Scans, read_scans

Pixels = np.ndarray[Any, np.dtype[np.float32]]
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
"""Formats that Pillow decodes."""
SUPPORTED = "The picture must be JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF or HEIC"
JPEG_FORMATS = ("JPEG", "MPO")
"""Pillow's names of JPEG files with one picture, and with several."""
HEIF_KINDS = ("AVIF", "HEIC")
"""Formats that `heif` decodes."""
DAMAGED = "The picture is damaged: it could not be decoded to its end"
_RESAMPLE = {resampling.name.lower(): resampling for resampling in Image.Resampling}

MAX_PIXELS = 16_000_000
"""Largest number of pixels of all pictures of a request, unless the manifest has a limit."""
MAX_SCANS = 100
"""Largest number of scans of a JPEG. A progressive one has about ten; each is another pass over the whole picture."""
USUAL_SCANS = 16
"""A JPEG with more scans counts as a larger picture: as its pixels times its scans / 16."""
ONE_SCAN = Scans(1, is_closed=True, is_complete=True)
"""Of formats without scans."""
DECODER_BLOCK = 8192
"""Bytes that a decoder gets at a time; the deadline is checked before each."""
END_OF_IMAGE = b"\xff\xd9"
FILLERS = (b"\x55\x9c" * 500, b"\xfe\xe3" * 500)
"""Bytes that are pixels to a decoder which still expects some. It takes the bits that are missing for zeros."""
TIFF_COMPRESSIONS = (
    *("raw", "packbits", "tiff_lzw", "tiff_deflate", "tiff_adobe_deflate"),
    *("tiff_ccitt", "group3", "group4", "jpeg"),
)
"""Others take memory that the file chooses (LZMA, Zstandard), or are not used for pictures."""
TIFF_BITS, TIFF_OFFSETS, TIFF_SIZES = 258, (273, 324), (279, 325)
"""Tags: bits of each sample; where strips or tiles are, and how many bytes they have."""


def open_images(files: Sequence[bytes], limits: Limits) -> Iterator[Image.Image]:
    """Decode images one by one as `open_image`, within `limits.pixels` in all. Raises BadRequest for an empty list."""
    if not files:
        raise BadRequest("`inputs` is an empty list; send at least one picture")
    if len(files) > limits.batch:
        raise PayloadTooLarge(f"`inputs` has {len(files)} pictures; {limits.batch} are allowed in one request")
    remaining = maximum = limits.pixels or MAX_PIXELS
    for data in files:
        try:
            picture, work = _decode(data, remaining)
        except PayloadTooLarge as error:
            if remaining == maximum:
                raise
            raise PayloadTooLarge(f"{error.message} after the pictures before it, {maximum} in all") from None
        remaining -= work
        yield picture


def count_pixels(data: bytes) -> int:
    """The number of pixels according to the header; 0 for a file that is no picture. Nothing is decoded."""
    try:
        width, height = _open(data).size
    except HearthError:  # `open_image` reports it
        return 0
    return width * height


def open_image(data: bytes, max_pixels: int) -> Image.Image:
    """The first frame as upright 8-bit RGB, with transparency on white.

    The size in the header is compared with `max_pixels` before anything is decoded, because twenty kilobytes can decode
    to a gigabyte. Raises UnsupportedMedia, PayloadTooLarge, BadRequest, DeadlineExceeded.
    """
    return _decode(data, max_pixels)[0]


def _decode(data: bytes, max_pixels: int) -> tuple[Image.Image, int]:
    """As `open_image`, with the picture's share of `max_pixels`: its pixels, or more for many scans."""
    file = _open(data)
    width, height = file.size
    if width * height > max_pixels:
        raise PayloadTooLarge(f"The picture has {width} x {height} pixels; {max_pixels} are allowed")
    scans = ONE_SCAN if isinstance(file, HeifFile) else _scans_of(file, data)
    work = width * height * max(scans.total, USUAL_SCANS) // USUAL_SCANS
    if scans.total > MAX_SCANS:
        raise BadRequest(f"The picture has more than {MAX_SCANS} scans; save it as a baseline JPEG")
    if work > max_pixels:
        raise PayloadTooLarge(
            f"The picture has {width} x {height} pixels in {scans.total} scans, as much work as {work} pixels; "
            f"{max_pixels} are allowed: save it as a baseline JPEG"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            upright = _decode_heif(file) if isinstance(file, HeifFile) else _decode_with_pillow(file, data, scans)
            if upright.has_transparency_data:
                layer = upright.convert("RGBA")
                upright = Image.new("RGBA", layer.size, "white")
                upright.alpha_composite(layer)
            return upright.convert("RGB"), work
        except HearthError:
            raise
        except Exception:  # decoders raise unrelated classes of exceptions
            raise BadRequest(DAMAGED) from None


def _open(data: bytes) -> ImageFile | HeifFile:
    """A file whose header has been read. Raises UnsupportedMedia, PayloadTooLarge, BadRequest."""
    if kind_of(data) in HEIF_KINDS:
        try:
            return HeifFile(data)
        except HeifError as error:
            raise BadRequest(f"The picture is damaged: {error}") from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of large images, which are refused
        try:
            return Image.open(deadline.File(data), formats=FORMATS)
        except Image.DecompressionBombError:
            raise PayloadTooLarge("The picture has far more pixels than are allowed") from None
        except DeadlineExceeded:
            raise
        except Exception:
            raise UnsupportedMedia(describe(data, SUPPORTED)) from None


def _decode_heif(file: HeifFile) -> Image.Image:
    try:
        return file.decode()
    except HeifError as error:
        raise BadRequest(f"The picture cannot be decoded: {error}") from None
    except ImportError:
        raise UnsupportedMedia("HEIC and AVIF are not decoded here; send the picture as JPEG") from None


def _decode_with_pillow(file: ImageFile, data: bytes, scans: Scans) -> Image.Image:
    """Raises BadRequest, UnsupportedMedia, and what decoders raise."""
    if file.format == "TIFF":
        _check_tiff(file)
    if not scans.is_closed:
        file = _close(data, scans)
    file.decodermaxblock = DECODER_BLOCK
    file.load()
    deadline.check()
    ImageOps.exif_transpose(file, in_place=True)
    return _to_8_bits(file)


def _scans_of(file: ImageFile, data: bytes) -> Scans:
    """Passes of a decoder over the whole picture. Raises BadRequest for parts of a TIFF that overlap."""
    if file.format in JPEG_FORMATS:
        return read_scans(data)
    if file.format != "TIFF" or file.info.get("compression") != "jpeg":
        return ONE_SCAN
    tags: Any = file.tag_v2  # type: ignore[attr-defined]
    offsets, sizes = (next((tags[tag] for tag in choices if tag in tags), ()) for choices in (TIFF_OFFSETS, TIFF_SIZES))
    if sum(sizes) > len(data):
        raise BadRequest(DAMAGED)
    parts = (data[start : start + size] for start, size in zip(offsets, sizes, strict=False))
    return ONE_SCAN._replace(total=max((read_scans(part).total for part in parts), default=1))


def _close(data: bytes, scans: Scans) -> ImageFile:
    """A JPEG that lacks its end marker and nothing else: more data for its decoder would change none of its pixels."""
    if not scans.is_complete:
        raise BadRequest(DAMAGED)
    content = data.rstrip(b"\xff")
    picture = Image.open(deadline.File(content + END_OF_IMAGE), formats=("JPEG",))
    for filler in FILLERS:
        filled = Image.open(deadline.File(content + filler + END_OF_IMAGE), formats=("JPEG",))
        if ImageChops.difference(picture, filled).getbbox(alpha_only=False) is not None:
            raise BadRequest(DAMAGED)
    return picture


def _check_tiff(file: ImageFile) -> None:
    """Refuse what Pillow would decode to other values, and compressions without a bound of memory."""
    compression = file.info.get("compression")
    if compression not in TIFF_COMPRESSIONS:
        raise UnsupportedMedia(f"The TIFF is compressed with {compression}; save it with LZW, deflate or JPEG")
    bits = set(file.tag_v2.get(TIFF_BITS, (1,)))  # type: ignore[attr-defined]
    if not bits <= {1, 2, 4, 8, 16} or file.mode in ("I", "F"):
        raise UnsupportedMedia(f"The TIFF has samples of {max(bits)} bits; save it with 8 or 16 unsigned bits")


def _to_8_bits(picture: Image.Image) -> Image.Image:
    """Convert 16-bit grey to 8-bit grey; Pillow itself would clip it at 255."""
    if not picture.mode.startswith("I"):
        return picture
    values = np.asarray(picture) >> 8
    return Image.fromarray(np.clip(values, 0, 255, out=values).astype(np.uint8))


MAX_RESIZED = 8_000_000
"""Largest number of pixels of a picture that is resized as a whole before it is cropped."""
CROP_MARGIN = 4
"""Pixels around a crop that are resized with it: filters look two pixels far."""


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
        if preprocessing.before_crop:
            width, height = preprocessing.before_crop
            return _cropped(picture, (width, height), preprocessing)
        return Placement(ratios, (0.0, 0.0), canvas)
    if preprocessing.resize == "shortest-edge-center-crop":
        return _cropped(picture, _covering_size(picture, preprocessing), preprocessing)
    if preprocessing.resize == "keep-aspect":
        size = fit_aspect(picture, min(canvas), max(canvas))
        return Placement((size[0] / picture[0], size[1] / picture[1]), (0.0, 0.0), size)
    width, height = (min(max(round(side * min(ratios)), 1), edge) for edge, side in zip(canvas, picture, strict=True))
    offset = ((canvas[0] - width) // 2, (canvas[1] - height) // 2) if preprocessing.centred else (0, 0)
    return Placement((width / picture[0], height / picture[1]), offset, (width, height))


def _cropped(picture: tuple[int, int], size: tuple[int, int], preprocessing: ImagePreprocessing) -> Placement:
    """The placement of a picture that is resized to `size`, of which the canvas is the middle."""
    margins = (size[0] - preprocessing.width, size[1] - preprocessing.height)
    left, top = (-(margin // 2) if preprocessing.crop_rounding == "down" else -round(margin / 2) for margin in margins)
    return Placement((size[0] / picture[0], size[1] / picture[1]), (left, top), size)


def _covering_size(picture: tuple[int, int], preprocessing: ImagePreprocessing) -> tuple[int, int]:
    """Size before a center crop, as torchvision's `Resize` computes it: the longer side is rounded down."""
    if not preprocessing.before_crop:
        factor = max(preprocessing.width / picture[0], preprocessing.height / picture[1])
        return max(round(picture[0] * factor), preprocessing.width), max(
            round(picture[1] * factor), preprocessing.height
        )
    shortest, edge = min(picture), preprocessing.before_crop[0]
    return edge * picture[0] // shortest, edge * picture[1] // shortest


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
    placement = place(picture.size, preprocessing)
    if preprocessing.resize == "shortest-edge-center-crop" or preprocessing.before_crop:
        return _resize_and_crop(picture, placement, (preprocessing.width, preprocessing.height), resample)
    resized = picture.resize(placement.size, resample)
    if preprocessing.resize == "keep-aspect" or resized.size == (preprocessing.width, preprocessing.height):
        return resized
    canvas = Image.new("RGB", (preprocessing.width, preprocessing.height), (preprocessing.fill,) * 3)
    canvas.paste(resized, (int(placement.offset[0]), int(placement.offset[1])))
    return canvas


def _resize_and_crop(
    picture: Image.Image, placement: Placement, crop: tuple[int, int], resample: Image.Resampling
) -> Image.Image:
    """The crop of the resized picture; what lies outside of it is black.

    Of a large resized picture only the crop's surroundings are computed, since a picture of one row would need
    gigabytes. Their rounding differs in a few grey values from that of transformers and torchvision, which resize the
    whole.
    """
    if placement.size[0] * placement.size[1] <= MAX_RESIZED:
        left, top = (-int(offset) for offset in placement.offset)
        return picture.resize(placement.size, resample).crop((left, top, left + crop[0], top + crop[1]))
    starts = [max(-int(offset) - CROP_MARGIN, 0) for offset in placement.offset]
    ends = [
        min(-int(offset) + side + CROP_MARGIN, edge)
        for offset, side, edge in zip(placement.offset, crop, placement.size, strict=True)
    ]
    box = tuple(position / scale for position, scale in zip((*starts, *ends), placement.scale * 2, strict=True))
    box = box[0], box[1], min(box[2], picture.width), min(box[3], picture.height)
    resized = picture.resize((ends[0] - starts[0], ends[1] - starts[1]), resample, box)
    left, top = (-int(offset) - start for offset, start in zip(placement.offset, starts, strict=True))
    return resized.crop((left, top, left + crop[0], top + crop[1]))
