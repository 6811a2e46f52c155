"""Decodes HEIC and AVIF pictures: the boxes of a HEIF file here, its coded pictures with FFmpeg (ISO/IEC 23008-12).

Nothing is decoded before its declared size is known, and FFmpeg stops at pictures that are larger than declared.
libheif and libavif have no such bound: 20 kilobytes that declare a small picture may hold one of 16384 x 16384.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from PIL import Image

from hearth import deadline
from hearth.ops.vision.av1_units import has_few_frames

if TYPE_CHECKING:
    import av

DECODERS = {b"hvc1": "hevc", b"av01": "libdav1d"}
"""FFmpeg's decoder for each type of coded picture."""
CONFIGURATIONS = (b"hvcC", b"av1C")
ALIGNMENT = 64
"""Coded pictures are padded to whole blocks of at most this many pixels."""
ALPHA = (b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha", b"urn:mpeg:hevc:2015:auxid:1")
"""Names of transparency."""
MAX_ITEMS = 4096
MAX_DEPTH = 3
"""Derived pictures may refer to derived ones: a rotated grid."""
FULL_RANGE, LIMITED_RANGE = 2, 1
"""FFmpeg's names of colour ranges."""
MATRICES = {1: 1, 5: 5, 6: 5, 9: 9}
"""Matrix coefficients of H.273 -> swscale's colour space."""


class HeifError(ValueError):
    """The file is damaged, or has a kind of picture that is not decoded; the message says which."""


@dataclass
class _Item:
    kind: bytes = b""
    data: bytes = b""
    properties: list[tuple[bytes, bytes]] = field(default_factory=list)
    sources: list[int] = field(default_factory=list)
    """The pictures that a derived picture is made of."""
    alpha: int = 0
    """The picture with its transparency; 0 without one."""

    def content(self, *kinds: bytes) -> bytes:
        return next((content for kind, content in self.properties if kind in kinds), b"")

    @property
    def size(self) -> tuple[int, int]:
        """Width and height before rotation."""
        width, height = struct.unpack(">4xII", self.content(b"ispe")[:12])
        return width, height


class HeifFile:
    """The primary picture of a file. Raises HeifError."""

    def __init__(self, data: bytes) -> None:
        try:
            self._items, self._primary = _read_items(data)
            self.size = self._items[self._primary].size
        except (struct.error, IndexError, KeyError, ValueError):
            raise HeifError("its index cannot be read") from None

    def decode(self) -> Image.Image:
        """Upright RGB or RGBA. Raises HeifError, DeadlineExceeded."""
        try:
            return self._decode(self._primary, 0)
        except (struct.error, IndexError, KeyError):
            raise HeifError("its index cannot be read") from None

    def _decode(self, number: int, depth: int) -> Image.Image:
        item = self._items[number]
        if depth > MAX_DEPTH:
            raise HeifError("its pictures refer to each other")
        if item.kind in DECODERS:
            picture = _decode_coded(item, "rgb24")
        elif item.kind == b"grid":
            picture = self._decode_grid(item, depth)
        elif item.kind == b"iden":
            source = self._items[item.sources[0]].size
            if source[0] * source[1] > item.size[0] * item.size[1]:
                raise HeifError("its parts are larger than the picture")
            picture = self._decode(item.sources[0], depth + 1)
        else:
            raise HeifError(f"pictures of the type {item.kind.decode('latin-1')!r} are not supported")
        if item.alpha:
            picture.putalpha(self._alpha(item.alpha, picture.size, depth))
        return _transform(picture, item)

    def _decode_grid(self, item: _Item, depth: int) -> Image.Image:
        rows, columns = item.data[2] + 1, item.data[3] + 1
        size = struct.unpack(">II" if item.data[1] & 1 else ">HH", item.data[4 : 12 if item.data[1] & 1 else 8])
        tiles = item.sources
        if size != item.size or len(tiles) != rows * columns:
            raise HeifError("its grid does not fit its tiles")
        width, height = self._items[tiles[0]].size
        if not ((columns - 1) * width < size[0] <= columns * width and (rows - 1) * height < size[1] <= rows * height):
            raise HeifError("its grid does not fit its tiles")
        if width * height > 2 * size[0] * size[1] + (2 * ALIGNMENT) ** 2:
            raise HeifError("its tiles are larger than the picture")
        picture = Image.new("RGB", size)
        for index, tile in enumerate(tiles):
            if self._items[tile].size != (width, height):
                raise HeifError("its tiles differ in size")
            position = index % columns * width, index // columns * height
            picture.paste(self._decode(tile, depth + 1).convert("RGB"), position)
        return picture

    def _alpha(self, number: int, size: tuple[int, int], depth: int) -> Image.Image:
        item = self._items[number]
        if item.size != size:
            raise HeifError("its transparency has another size")
        if item.kind in DECODERS:
            return _decode_coded(item, "gray")
        return self._decode(number, depth + 1).convert("L")


def _decode_coded(item: _Item, pixel_format: str) -> Image.Image:
    """A coded picture as RGB or grey, of the declared size."""
    import av

    deadline.check()
    width, height = item.size
    if item.kind == b"av01" and not has_few_frames(item.data):
        raise HeifError("it has several pictures in the place of one")
    codec: Any = av.CodecContext.create(DECODERS[item.kind], "r")
    codec.extradata = item.content(*CONFIGURATIONS) or None
    codec.options = {"max_pixels": str((width + 2 * ALIGNMENT) * (height + 2 * ALIGNMENT))}
    codec.thread_count = 1
    try:
        frames = [*codec.decode(av.Packet(item.data)), *codec.decode(None)]
        if not frames or frames[0].is_corrupt or frames[0].width < width or frames[0].height < height:
            raise HeifError("it could not be decoded to its end")
        pixels = _convert(frames[0], item.content(b"colr"), pixel_format).to_ndarray()
    except (av.FFmpegError, ValueError) as error:
        raise error if isinstance(error, HeifError) else HeifError("it could not be decoded to its end") from None
    return Image.fromarray(pixels[:height, :width])


def _convert(frame: av.VideoFrame, colours: bytes, pixel_format: str) -> av.VideoFrame:
    """Convert with the colours that the file declares, which win over those of the coded picture."""
    options: dict[str, int] = {}
    if colours[:4] == b"nclx" and len(colours) >= 11:
        matrix = int.from_bytes(colours[8:10], "big")
        options["src_color_range"] = FULL_RANGE if colours[10] & 0x80 else LIMITED_RANGE
        if matrix in MATRICES:
            options["src_colorspace"] = MATRICES[matrix]
    if pixel_format == "gray":
        options = {"src_color_range": FULL_RANGE}
    return frame.reformat(format=pixel_format, dst_color_range=FULL_RANGE, **options)


def _transform(picture: Image.Image, item: _Item) -> Image.Image:
    """Crop, rotate and mirror, in the order of the file."""
    for kind, content in item.properties:
        deadline.check()
        if kind == b"clap":
            picture = _crop(picture, content)
        elif kind == b"irot" and content[0] & 3:
            turns = (Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_270)
            picture = picture.transpose(turns[(content[0] & 3) - 1])
        elif kind == b"imir":
            sides = (Image.Transpose.FLIP_TOP_BOTTOM, Image.Transpose.FLIP_LEFT_RIGHT)
            picture = picture.transpose(sides[content[0] & 1])
    return picture


def _crop(picture: Image.Image, content: bytes) -> Image.Image:
    """Crop to a clean aperture: width, height and the offset of its centre, as fractions."""
    numbers = struct.unpack(">IIIIiIiI", content[:32])
    if not all(numbers[1::2]):
        raise HeifError("its index cannot be read")
    width, height, right, down = (numbers[index] / numbers[index + 1] for index in range(0, 8, 2))
    left = round((picture.width - width) / 2 + right)
    top = round((picture.height - height) / 2 + down)
    box = (max(left, 0), max(top, 0), min(left + round(width), picture.width), min(top + round(height), picture.height))
    if box[0] >= box[2] or box[1] >= box[3]:
        raise HeifError("its index cannot be read")
    return picture.crop(box)


def _boxes(data: bytes) -> Iterator[tuple[bytes, int, bytes]]:
    """Name, version and flags as one number, and content (version and flags included) of each box."""
    position = 0
    while position + 8 <= len(data):
        size, name = struct.unpack_from(">I4s", data, position)
        head = 8
        if size == 1:
            size, head = int.from_bytes(data[position + 8 : position + 16], "big"), 16
        size = size or len(data) - position
        if size < head:
            return
        content = data[position + head : position + size]
        yield name, int.from_bytes(content[:4], "big"), content
        position += size


class _Reader:
    """Reads big-endian numbers one after the other."""

    def __init__(self, data: bytes) -> None:
        self.data, self.position = data, 0

    def number(self, size: int) -> int:
        content = self.data[self.position : self.position + size]
        if len(content) < size:
            raise IndexError
        self.position += size
        return int.from_bytes(content, "big")


def _read_items(data: bytes) -> tuple[dict[int, _Item], int]:
    """All pictures of a file by number, and the number of the primary one."""
    meta = next((content for name, _, content in _boxes(data) if name == b"meta"), b"")
    boxes = {name: content for name, _, content in _boxes(meta[4:])}
    items: dict[int, _Item] = {}
    for name, version, content in _boxes(boxes[b"iinf"][6 if boxes[b"iinf"][0] == 0 else 8 :]):
        wide = 4 if version >> 24 >= 3 else 2
        if name == b"infe" and version >> 24 >= 2 and len(items) < MAX_ITEMS:
            number, kind = int.from_bytes(content[4 : 4 + wide], "big"), content[6 + wide : 10 + wide]
            items[number] = _Item(b"hvc1" if kind == b"hev1" else kind)
    _read_locations(boxes[b"iloc"], data, boxes.get(b"idat", b""), items)
    _read_properties(boxes[b"iprp"], items)
    _read_references(boxes.get(b"iref", b""), items)
    primary = boxes[b"pitm"]
    return items, int.from_bytes(primary[4 : 6 if primary[0] == 0 else 8], "big")


def _read_locations(content: bytes, data: bytes, idat: bytes, items: dict[int, _Item]) -> None:
    """Set the data of the items; together they have no more bytes than the file."""
    reader = _Reader(content)
    version = reader.number(4) >> 24
    sizes = reader.number(2)
    offset_size, length_size, base_size, index_size = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
    remaining = len(data)
    for _ in range(reader.number(4 if version == 2 else 2)):
        item = items.get(reader.number(4 if version == 2 else 2), _Item())
        source = (data, idat)[reader.number(2) & 1] if version else data
        reader.number(2)  # the file that has the data: this one
        base = reader.number(base_size)
        parts = []
        for _ in range(reader.number(2)):
            reader.number(index_size if version else 0)
            start, length = base + reader.number(offset_size), reader.number(length_size)
            part = source[start : start + length] if length else source[start:]
            remaining -= len(part)
            if remaining < 0:
                raise ValueError
            parts.append(part)
        item.data = b"".join(parts)


def _read_properties(content: bytes, items: dict[int, _Item]) -> None:
    properties: list[tuple[bytes, bytes]] = []
    for name, _, inner in _boxes(content):
        if name == b"ipco":
            properties = [(kind, box) for kind, _, box in _boxes(inner)]
    for name, version, inner in _boxes(content):
        if name != b"ipma":
            continue
        reader = _Reader(inner[4:])
        for _ in range(reader.number(4)):
            item = items.get(reader.number(4 if version >> 24 else 2), _Item())
            for _ in range(reader.number(1)):
                index = reader.number(2) & 0x7FFF if version & 1 else reader.number(1) & 0x7F
                if index:
                    item.properties.append(properties[index - 1])


def _read_references(content: bytes, items: dict[int, _Item]) -> None:
    wide = 4 if content[:1] == b"\1" else 2
    for name, _, inner in _boxes(content[4:]):
        reader = _Reader(inner)
        number = reader.number(wide)
        targets = [reader.number(wide) for _ in range(reader.number(2))]
        item = items.get(number, _Item())
        if name == b"dimg":
            item.sources = targets
        elif name == b"auxl" and item.content(b"auxC")[4:].startswith(ALPHA):
            for target in targets:
                items.get(target, _Item()).alpha = number
