"""Small pictures, sounds and a film with text in their metadata."""

from __future__ import annotations

import io
import struct

import av
import numpy as np
import soundfile
from PIL import Image, PngImagePlugin

KINDS = ("jpeg", "png", "gif", "wav", "flac", "ogg", "mp3", "mp4", "mjpeg")


def make_file(kind: str, text: str) -> bytes:
    """A file of the `kind` with `text` in all its metadata fields."""
    if kind in ("jpeg", "png", "gif"):
        return picture(kind, text)
    if kind in ("mp4", "mjpeg"):
        return film(text)
    return sound(kind, text)


def picture(kind: str, text: str) -> bytes:
    image = Image.new("RGB", (40, 30), (200, 30, 30))
    file = io.BytesIO()
    if kind == "png":
        info = PngImagePlugin.PngInfo()
        info.add_itxt("Comment", text)
        image.save(file, "PNG", pnginfo=info)
    elif kind == "gif":
        image.save(file, "GIF", comment=text.encode())
    else:
        exif = image.getexif()
        exif[0x010E], exif[0x9C9C], exif[0x013B] = (
            text,
            text.encode("utf-16-le"),
            text,
        )  # description, comment, artist
        image.save(file, "JPEG", exif=exif, comment=text.encode())
    return file.getvalue()


def sound(kind: str, text: str) -> bytes:
    """Half a second of sound."""
    samples = np.sin(np.arange(4000) / 3).astype(np.float32) / 4
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", 8000, 1, format=kind.upper()) as out:
        if kind != "mp3":
            out.title = out.comment = out.artist = text
        out.write(samples)
    if kind != "mp3":
        return file.getvalue()
    frame = b"TIT2" + struct.pack(">I", len(text.encode()) + 1) + b"\0\0\3" + text.encode()
    size = len(frame)
    tag = b"ID3\3\0\0" + bytes((size >> 21 & 127, size >> 14 & 127, size >> 7 & 127, size & 127))
    return tag + frame + file.getvalue()


def film(text: str) -> bytes:
    """A film with three frames of 96 x 64."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as out:
        out.metadata["title"] = out.metadata["comment"] = text
        stream = out.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for number in range(3):
            pixels = np.zeros((64, 96, 3), np.uint8)
            pixels[10:26, 10 + number : 26 + number] = 255
            for packet in stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")):
                out.mux(packet)
        for packet in stream.encode():
            out.mux(packet)
    return file.getvalue()
