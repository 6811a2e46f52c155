"""Generate the page's examples, so that they contain no personal data: a blood smear, a film, a ship, spoken digits.

    python -m tests.browser.examples

espeak-ng's formant synthesiser speaks the digits: it is the only voice that the model always understands.
"""

from __future__ import annotations

import io
import subprocess
from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
import soundfile
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from tests.functions.films import index_first
from tests.support import ROOT

PAGE = ROOT / "functions/catalog/page"
Floats = NDArray[np.float64]
WIDTH, HEIGHT = 480, 360
PLASMA, RED, PURPLE, VIOLET = (204, 214, 209), (196, 148, 134), (196, 178, 206), (86, 66, 190)
FRAMES, RATE = 30, 10
CELLS = ((70, 70, 37), (190, 62, 34), (404, 88, 38), (78, 292, 38), (196, 306, 35), (322, 296, 36), (420, 262, 35))
"""Red cells in the first frame: centre (x, y) and radius."""
DRIFTS = ((1.5, 0.5), (1.6, 0.7), (-1.2, 0.8), (1.7, -0.6), (1.1, -0.9), (1.3, -0.2), (-0.9, -0.6))
WHITE, WHITE_DRIFT = (262, 178), (-0.9, 0.5)
PLATELETS, PLATELET_DRIFT = ((140, 190), (372, 188), (258, 356)), (0.4, -0.5)


def disc(x: float, y: float, radius: float, soft: float = 2.0) -> Floats:
    """Share of each pixel that is within the circle, (HEIGHT, WIDTH)."""
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    return np.clip((radius - np.hypot(columns - x, rows - y)) / soft + 0.5, 0, 1)


def paint(canvas: Floats, colour: tuple[int, int, int], cover: Floats) -> Floats:
    return canvas + (np.array(colour) - canvas) * cover[..., None]


def smear(time: float) -> Image.Image:
    """Stained blood after drifting for `time` frames."""
    canvas = np.full((HEIGHT, WIDTH, 3), PLASMA, np.float64)
    for (x, y, radius), (dx, dy) in zip(CELLS, DRIFTS, strict=True):
        x, y = x + dx * time, y + dy * time
        canvas = paint(canvas, RED, 0.9 * disc(x, y, radius, 3))
        canvas = paint(canvas, (222, 196, 186), 0.75 * disc(x - 1, y + 1, radius * 0.5, 14))
    x, y = WHITE[0] + WHITE_DRIFT[0] * time, WHITE[1] + WHITE_DRIFT[1] * time
    canvas = paint(canvas, PURPLE, 0.85 * disc(x, y, 60, 9))
    for dx, dy, radius in ((-23, -20, 24), (16, -25, 25), (26, 14, 22), (-12, 24, 23)):
        canvas = paint(canvas, VIOLET, 0.9 * disc(x + dx, y + dy, radius, 6))
    for x, y in PLATELETS:
        x, y = x + PLATELET_DRIFT[0] * time, y + PLATELET_DRIFT[1] * time
        canvas = paint(canvas, (128, 108, 200), 0.85 * disc(x, y, 9, 6))
    grain = np.random.default_rng(1).normal(0, 2, canvas.shape[:2])
    light = 1 - 0.0000008 * ((np.mgrid[0:HEIGHT, 0:WIDTH] - np.array([[[180]], [[240]]])) ** 2).sum(0)
    pixels = np.clip(canvas * light[..., None] + grain[..., None], 0, 255).astype(np.uint8)
    return Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(0.8))


def mp4(pictures: Sequence[Image.Image]) -> bytes:
    """A film with its index first, so that browsers show it before the download is complete."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"crf": "30", "preset": "veryslow"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_image(picture)))
        container.mux(stream.encode())
    return index_first(file.getvalue())


def ship() -> Image.Image:
    """A freighter at sea, seen from the side."""
    side, scale = 192, 4
    large = Image.new("RGB", (side * scale, side * scale))
    draw = ImageDraw.Draw(large)
    for row in range(side * scale):
        share = row / (side * scale)
        sky, sea = (150 + 60 * share, 190 + 30 * share, 226), (44 - 10 * share, 92 - 12 * share, 132 - 16 * share)
        draw.line((0, row, side * scale, row), tuple(round(value) for value in (sky if share < 0.6 else sea)))

    def polygon(colour: tuple[int, int, int], *points: tuple[float, float]) -> None:
        draw.polygon([(x * scale, y * scale) for x, y in points], colour)

    polygon((60, 54, 62), (14, 100), (178, 100), (164, 128), (30, 128))
    polygon((150, 50, 44), (27, 121), (168, 121), (164, 128), (30, 128))
    polygon((238, 238, 234), (26, 72), (62, 72), (62, 100), (22, 100))
    polygon((222, 222, 220), (34, 56), (56, 56), (56, 72), (34, 72))
    polygon((176, 62, 46), (40, 40), (50, 40), (50, 56), (40, 56))
    for left in (30, 38, 46, 54):
        polygon((70, 86, 104), (left, 78), (left + 5, 78), (left + 5, 84), (left, 84))
    for left, colour in ((72, (198, 120, 60)), (96, (76, 120, 150)), (120, (180, 80, 66))):
        polygon(colour, (left, 84), (left + 21, 84), (left + 21, 100), (left, 100))
    polygon((90, 90, 96), (156, 62), (159, 62), (159, 100), (156, 100))
    for row, left in ((140, 20), (152, 90), (164, 40), (176, 120)):
        draw.line((left * scale, row * scale, (left + 46) * scale, row * scale), (86, 132, 166), 2 * scale)
    return large.resize((side, side), Image.Resampling.LANCZOS)


def digits() -> bytes:
    """Five spoken digits as MP3, which every browser plays."""
    text = "four, zero, seven, two, nine"
    command = ["espeak-ng", "-v", "en-us+klatt", "-s", "140", "-g", "1", "--stdout", text]
    samples, rate = soundfile.read(io.BytesIO(subprocess.run(command, check=True, capture_output=True).stdout))
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="MP3", subtype="MPEG_LAYER_III", compression_level=0.99)
    return file.getvalue()


def lengthen(speech: Path, target: Path) -> Path:
    """Write a WAV file of 16 bits again, on eight channels at a high rate: 5 MB, more than a request may have."""
    samples, rate = soundfile.read(speech, dtype="int16")
    channels = 8
    times = 5_000_000 // (2 * channels * len(samples)) + 1
    repeated = np.repeat(samples, channels * times).reshape(-1, channels)
    soundfile.write(target, repeated, rate * times, subtype="PCM_16")
    return target


def jpeg(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=82, optimize=True)
    return file.getvalue()


def main() -> None:
    film = mp4([smear(number) for number in range(FRAMES)])
    files = {"cells.jpg": jpeg(smear(0)), "ship.jpg": jpeg(ship()), "cells.mp4": film, "digits.mp3": digits()}
    for name, data in files.items():
        (PAGE / name).write_bytes(data)
        print(f"{name}: {len(data)} bytes")


if __name__ == "__main__":
    main()
