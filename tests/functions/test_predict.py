"""The path of a task: encode, run, decode, and what it refuses."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hearth.errors import BadRequest, HearthError, PayloadTooLarge, UnsupportedMedia
from hearth.ops.vision.images import open_image
from hearth_functions.image_classification import app as image
from hearth_functions.text_classification import app as text
from tests.support.asking import predict

RED = (250, 10, 10)


def picture(format: str = "PNG", mode: str = "RGB", size: tuple[int, int] = (40, 30)) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", size, RED).convert(mode).save(stream, format)
    return stream.getvalue()


def test_batches_have_the_scores_of_single_texts(serving: Path) -> None:
    texts = ["i love this movie", "an awful film", "我非常喜欢这个电影"]
    batched = predict(text, "sentiment-en", text.Request(texts))
    assert [labels[0].label for labels in batched] == ["positive", "negative", "positive"]
    alone = [predict(text, "sentiment-en", text.Request(single))[0] for single in texts]
    for actual, expected in zip(batched, alone, strict=True):
        np.testing.assert_allclose([item.score for item in actual], [item.score for item in expected], atol=1e-6)
    assert sum(item.score for item in batched[0]) == pytest.approx(1)


def test_top_k_and_function_to_apply_are_used(serving: Path) -> None:
    parameters = text.Parameters(top_k=1, function_to_apply="none")
    assert len(predict(text, "sentiment-en", text.Request("good", parameters))[0]) == 1
    parameters = text.Parameters(function_to_apply="sigmoid")
    assert predict(text, "sentiment-en", text.Request("the", parameters))[0][0].score == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("inputs", "error"),
    [([], BadRequest), (["a"] * 33, PayloadTooLarge), ("a" * 10_001, PayloadTooLarge)],
)
def test_texts_beyond_the_limits_are_refused(serving: Path, inputs: str | list[str], error: type[HearthError]) -> None:
    with pytest.raises(error):
        predict(text, "sentiment-en", text.Request(inputs))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
@pytest.mark.parametrize("format", ["PNG", "WEBP", "GIF"])
def test_pictures_of_every_format_are_classified(serving: Path, format: str, mode: str) -> None:
    labels = predict(image, "resnet20-cifar10", image.Request(picture(format, mode)))
    assert labels[0].label == "red"


def test_a_cmyk_jpeg_and_a_rotated_one_are_read(serving: Path) -> None:
    labels = predict(image, "resnet20-cifar10", image.Request(picture("JPEG", "CMYK")))
    assert labels[0].label == "red"
    stream = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 30), RED).save(stream, "JPEG", exif=exif)
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
        predict(image, "resnet20-cifar10", image.Request(data))


@pytest.mark.parametrize("empty", ["", " ", "\n\t", "\u200b", "\u00a0\u3000"])
def test_an_empty_text_is_not_classified(serving: Path, empty: str) -> None:
    for inputs, number in ((empty, 1), (["good", empty], 2)):
        with pytest.raises(BadRequest, match=f"Text {number} of `inputs` is empty"):
            predict(text, "sentiment-en", text.Request(inputs))


@pytest.mark.parametrize("short", ["🙂", "!", "好", "a"])
def test_a_short_text_is_classified(serving: Path, short: str) -> None:
    assert predict(text, "sentiment-en", text.Request(short))
