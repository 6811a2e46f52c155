"""image-classification: pixels as torch would prepare them, every kind of picture, and how many labels come back."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hearth.models.manifest import ImagePreprocessing
from hearth.ops.vision.images import open_image, to_tensor
from hearth.tasks.schema import Label
from hearth_functions.image_classification import app
from tests.support.asking import ask

torch = pytest.importorskip("torch", reason="the export extra (torch) is not installed")

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
MODEL = "resnet20-cifar10"


def saved(picture: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, form, **options)
    return stream.getvalue()


def waves(width: int, height: int) -> Image.Image:
    y, x = np.mgrid[0:height, 0:width]
    channels = [np.sin(x / 9), np.cos(y / 7), np.sin((x + y) / 11)]
    return Image.fromarray(((np.stack(channels, 2) + 1) * 127).astype(np.uint8))


def with_torch(picture: Image.Image, how: ImagePreprocessing) -> Any:
    """The same by torch alone: resize with antialiasing, cut or fill, normalise."""
    pixels = torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1).float()[None]

    def resized(height: int, width: int) -> Any:
        return torch.nn.functional.interpolate(pixels, (height, width), mode=how.resample, antialias=True)

    if how.resize == "stretch":
        canvas = resized(how.height, how.width)
    elif how.resize == "letterbox":
        factor = min(how.width / picture.width, how.height / picture.height)
        inner = resized(round(picture.height * factor), round(picture.width * factor))
        canvas = torch.full((1, 3, how.height, how.width), float(how.fill))
        top = (how.height - inner.shape[2]) // 2 if how.centred else 0
        left = (how.width - inner.shape[3]) // 2 if how.centred else 0
        canvas[:, :, top : top + inner.shape[2], left : left + inner.shape[3]] = inner
    else:
        factor = max(how.width / picture.width, how.height / picture.height)
        inner = resized(round(picture.height * factor), round(picture.width * factor))
        top, left = (inner.shape[2] - how.height) // 2, (inner.shape[3] - how.width) // 2
        canvas = inner[:, :, top : top + how.height, left : left + how.width]
    canvas = canvas.flip(1) if how.channels == "BGR" else canvas
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (how.mean, how.std))
    return ((canvas.clamp(0, 255) / how.scale - mean) / std)[0].numpy()


@pytest.mark.parametrize("resize", ["stretch", "letterbox", "shortest-edge-center-crop"])
@pytest.mark.parametrize("size", [(96, 128), (128, 64), (40, 40)])
@pytest.mark.parametrize("more", [{}, {"channels": "BGR", "centred": True}, {"resample": "bicubic"}])
def test_pixels_are_those_of_torch(resize: Any, size: tuple[int, int], more: dict[str, Any]) -> None:
    how = ImagePreprocessing(width=64, height=48, resize=resize, mean=MEAN, std=STD, **more)
    ours, theirs = to_tensor([waves(*size)], how, 1)[0], with_torch(waves(*size), how)
    assert ours.shape == theirs.shape == (3, 48, 64)
    # Pillow rounds to whole values between its two passes; a crop may be off by half a pixel of the result.
    away = np.abs(ours - theirs)
    assert away.mean() < (0.1 if resize == "shortest-edge-center-crop" else 0.02)


RED = Image.new("RGB", (40, 30), (250, 10, 10))
PICTURES = {
    "palette": (saved(RED.convert("P")), "red"),
    "palette with transparency": (saved(RED.convert("P"), transparency=255), "red"),
    "alpha": (saved(RED.convert("RGBA")), "red"),
    "cmyk": (saved(RED.convert("CMYK"), "JPEG"), "red"),
    "animated": (saved(RED, "GIF", save_all=True, append_images=[Image.new("RGB", (40, 30), "blue")]), "red"),
    "grey": (saved(Image.new("L", (40, 30), 90)), None),
    "grey with alpha": (saved(Image.new("LA", (40, 30), (90, 255))), None),
    "grey of 16 bits": (saved(Image.fromarray(np.full((30, 40), 90 * 257, np.uint16))), None),
}


@pytest.mark.parametrize("kind", PICTURES)
def test_every_kind_of_picture(serving: Path, kind: str) -> None:
    data, label = PICTURES[kind]
    answer = ask(app, MODEL, app.Request(data))
    scores = [one.score for one in answer if isinstance(one, Label)]
    if label:
        assert isinstance(answer[0], Label)
        assert answer[0].label == label
        assert scores[0] > 0.9
    else:
        assert scores == pytest.approx([1 / 3] * 3, abs=1e-6)


def test_grey_of_16_bits_is_the_grey_of_8() -> None:
    for value in (0, 90, 255):
        sixteen = open_image(saved(Image.fromarray(np.full((3, 4), value * 257, np.uint16))), 100)
        assert np.asarray(sixteen).tolist() == np.full((3, 4, 3), value).tolist()


def test_orientation_is_undone() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn clockwise shows it upright
    lying = Image.new("RGB", (40, 30), "white")
    lying.paste((250, 10, 10), (0, 0, 20, 30))
    upright = np.asarray(open_image(saved(lying, "PNG", exif=exif), 10_000))
    assert upright.shape == (40, 30, 3)
    assert upright[5, 15].tolist() == [250, 10, 10]
    assert upright[35, 15].tolist() == [255, 255, 255]


@pytest.mark.parametrize(("top_k", "count"), [(1, 1), (2, 2), (9, 3)])
def test_top_k(serving: Path, top_k: int, count: int) -> None:
    (answer,) = ask(app, MODEL, app.Request([saved(RED)], app.Parameters(top_k=top_k)))
    assert isinstance(answer, list)
    assert len(answer) == count
    assert [one.score for one in answer] == sorted((one.score for one in answer), reverse=True)
