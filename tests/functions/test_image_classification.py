"""image-classification: pixels as torch prepares them, every kind of picture, and the number of labels returned."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hearth.errors import BadRequest, HearthError, PayloadTooLarge, UnsupportedMedia
from hearth.models.preprocessing import ImagePreprocessing
from hearth.ops.vision.images import open_image, to_tensor
from hearth.tasks.schema import Label
from hearth_functions.image_classification import app
from tests.support.asking import predict
from tests.support.pictures import picture

torch = pytest.importorskip("torch", reason="the export extra (torch) is not installed")

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
MODEL = "resnet20-cifar10"


def save_image(picture: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, format, **options)
    return stream.getvalue()


def waves(width: int, height: int) -> Image.Image:
    y, x = np.mgrid[0:height, 0:width]
    channels = [np.sin(x / 9), np.cos(y / 7), np.sin((x + y) / 11)]
    return Image.fromarray(((np.stack(channels, 2) + 1) * 127).astype(np.uint8))


def preprocess_with_torch(picture: Image.Image, preprocessing: ImagePreprocessing) -> Any:
    """Do the same with torch: resize with antialiasing, crop or pad, normalise."""
    pixels = torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1).float()[None]

    def resize(height: int, width: int) -> Any:
        return torch.nn.functional.interpolate(pixels, (height, width), mode=preprocessing.resample, antialias=True)

    if preprocessing.resize == "stretch":
        canvas = resize(preprocessing.height, preprocessing.width)
    elif preprocessing.resize == "letterbox":
        factor = min(preprocessing.width / picture.width, preprocessing.height / picture.height)
        scaled = resize(round(picture.height * factor), round(picture.width * factor))
        canvas = torch.full((1, 3, preprocessing.height, preprocessing.width), float(preprocessing.fill))
        top = (preprocessing.height - scaled.shape[2]) // 2 if preprocessing.centred else 0
        left = (preprocessing.width - scaled.shape[3]) // 2 if preprocessing.centred else 0
        canvas[:, :, top : top + scaled.shape[2], left : left + scaled.shape[3]] = scaled
    else:
        factor = max(preprocessing.width / picture.width, preprocessing.height / picture.height)
        if preprocessing.before_crop:
            factor = preprocessing.before_crop[0] / min(picture.size)
        scaled = resize(int(picture.height * factor + 0.01), int(picture.width * factor + 0.01))
        top, left = (scaled.shape[2] - preprocessing.height) // 2, (scaled.shape[3] - preprocessing.width) // 2
        canvas = scaled[:, :, top : top + preprocessing.height, left : left + preprocessing.width]
    canvas = canvas.flip(1) if preprocessing.channels == "BGR" else canvas
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (preprocessing.mean, preprocessing.std))
    return ((canvas.clamp(0, 255) / preprocessing.scale - mean) / std)[0].numpy()


@pytest.mark.parametrize("resize", ["stretch", "letterbox", "shortest-edge-center-crop"])
@pytest.mark.parametrize("size", [(96, 128), (128, 64), (40, 40)])
@pytest.mark.parametrize(
    "options", [{}, {"channels": "BGR", "centred": True}, {"resample": "bicubic"}, {"before_crop": (73,)}]
)
def test_pixels_equal_those_of_torch(resize: Any, size: tuple[int, int], options: dict[str, Any]) -> None:
    if "before_crop" in options and resize != "shortest-edge-center-crop":
        pytest.skip("only crops have a shortest edge")
    preprocessing = ImagePreprocessing(width=64, height=48, resize=resize, mean=MEAN, std=STD, **options)
    ours, theirs = to_tensor([waves(*size)], preprocessing, 1)[0], preprocess_with_torch(waves(*size), preprocessing)
    assert ours.shape == theirs.shape == (3, 48, 64)
    # Pillow rounds to whole values between its two passes.
    assert np.abs(ours - theirs).mean() < 0.02


@pytest.mark.parametrize("resample", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(500, 375), (375, 500), (1000, 301), (256, 256), (100, 80), (224, 900)])
def test_a_center_crop_equals_that_of_torchvision(size: tuple[int, int], resample: Any) -> None:
    """Resize(256) and CenterCrop(224) resize the whole picture with Pillow, and round as here."""
    preprocessing = ImagePreprocessing(
        width=224,
        height=224,
        resize="shortest-edge-center-crop",
        mean=(0, 0, 0),
        std=(1, 1, 1),
        scale=1,
        before_crop=(256,),
        resample=resample,
    )
    picture, factor = waves(*size), 256 / min(size)
    whole = picture.resize(
        (int(size[0] * factor + 1e-6), int(size[1] * factor + 1e-6)), Image.Resampling[resample.upper()]
    )
    left, top = (round((side - 224) / 2) for side in whole.size)
    expected = np.asarray(whole.crop((left, top, left + 224, top + 224)), np.int16).transpose(2, 0, 1)
    difference = np.abs(to_tensor([picture], preprocessing, 1)[0] - expected)
    assert difference.max() <= 2
    assert difference.mean() < 0.05


def test_a_crop_of_a_single_row_needs_little_memory() -> None:
    preprocessing = ImagePreprocessing(
        width=224, height=224, resize="shortest-edge-center-crop", mean=MEAN, std=STD, before_crop=(256,)
    )
    for size in ((1_000_000, 1), (1, 1_000_000)):
        assert to_tensor([Image.new("RGB", size, "white")], preprocessing, 1).min() > 1


RED = Image.new("RGB", (40, 30), (250, 10, 10))
PICTURES = {
    "palette": (save_image(RED.convert("P")), "red"),
    "palette with transparency": (save_image(RED.convert("P"), transparency=255), "red"),
    "alpha": (save_image(RED.convert("RGBA")), "red"),
    "cmyk": (save_image(RED.convert("CMYK"), "JPEG"), "red"),
    "animated": (save_image(RED, "GIF", save_all=True, append_images=[Image.new("RGB", (40, 30), "blue")]), "red"),
    "grey": (save_image(Image.new("L", (40, 30), 90)), None),
    "grey with alpha": (save_image(Image.new("LA", (40, 30), (90, 255))), None),
    "grey of 16 bits": (save_image(Image.fromarray(np.full((30, 40), 90 * 257, np.uint16))), None),
}


@pytest.mark.parametrize("kind", PICTURES)
def test_every_kind_of_picture_is_classified(serving: Path, kind: str) -> None:
    data, label = PICTURES[kind]
    output = predict(app, MODEL, app.Request(data))
    scores = [item.score for item in output if isinstance(item, Label)]
    if label:
        assert isinstance(output[0], Label)
        assert output[0].label == label
        assert scores[0] > 0.9
    else:
        assert scores == pytest.approx([1 / 3] * 3, abs=1e-6)


def test_16_bit_grey_becomes_8_bit_grey() -> None:
    for value in (0, 90, 255):
        picture = open_image(save_image(Image.fromarray(np.full((3, 4), value * 257, np.uint16))), 100)
        assert np.asarray(picture).tolist() == np.full((3, 4, 3), value).tolist()


def test_exif_orientation_is_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # upright after a quarter turn clockwise
    rotated = Image.new("RGB", (40, 30), "white")
    rotated.paste((250, 10, 10), (0, 0, 20, 30))
    upright = np.asarray(open_image(save_image(rotated, "PNG", exif=exif), 10_000))
    assert upright.shape == (40, 30, 3)
    assert upright[5, 15].tolist() == [250, 10, 10]
    assert upright[35, 15].tolist() == [255, 255, 255]


@pytest.mark.parametrize(("top_k", "count"), [(1, 1), (2, 2), (9, 3)])
def test_top_k_limits_the_number_of_labels(serving: Path, top_k: int, count: int) -> None:
    (labels,) = predict(app, MODEL, app.Request([save_image(RED)], app.Parameters(top_k=top_k)))
    assert isinstance(labels, list)
    assert len(labels) == count
    assert [item.score for item in labels] == sorted((item.score for item in labels), reverse=True)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
@pytest.mark.parametrize("format", ["PNG", "WEBP", "GIF"])
def test_pictures_of_every_format_are_classified(serving: Path, format: str, mode: str) -> None:
    labels = predict(app, "resnet20-cifar10", app.Request(picture(format, mode)))
    assert labels[0].label == "red"


def test_a_cmyk_jpeg_and_a_rotated_one_are_read(serving: Path) -> None:
    labels = predict(app, "resnet20-cifar10", app.Request(picture("JPEG", "CMYK")))
    assert labels[0].label == "red"
    stream = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 30), (250, 10, 10)).save(stream, "JPEG", exif=exif)
    assert open_image(stream.getvalue(), 10_000).size == (30, 40)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", UnsupportedMedia),
        (b"not a picture", UnsupportedMedia),
        (picture()[:60], BadRequest),
        (picture(size=(4000, 4000)), PayloadTooLarge),
    ],
)
def test_an_invalid_picture_has_its_error(serving: Path, data: bytes, error: type[HearthError]) -> None:
    with pytest.raises(error):
        predict(app, "resnet20-cifar10", app.Request(data))
