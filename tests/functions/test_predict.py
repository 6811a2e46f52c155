"""Each task's own path: encode, run, decode, and what it refuses."""

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
from tests.support.asking import ask

RED = (250, 10, 10)


def picture(form: str = "PNG", mode: str = "RGB", size: tuple[int, int] = (40, 30)) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", size, RED).convert(mode).save(stream, form)
    return stream.getvalue()


def test_words_decide_and_batches_answer_like_single_texts(serving: Path) -> None:
    texts = ["i love this movie", "an awful film", "我非常喜欢这个电影"]
    together = ask(text, "sentiment-en", text.Request(texts))
    assert [answer[0].label for answer in together] == ["positive", "negative", "positive"]
    alone = [ask(text, "sentiment-en", text.Request(one))[0] for one in texts]
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_allclose([s.score for s in one], [s.score for s in other], atol=1e-6)
    assert sum(score.score for score in together[0]) == pytest.approx(1)


def test_top_k_and_function_to_apply(serving: Path) -> None:
    parameters = text.Parameters(top_k=1, function_to_apply="none")
    assert len(ask(text, "sentiment-en", text.Request("good", parameters))[0]) == 1
    parameters = text.Parameters(function_to_apply="sigmoid")
    assert ask(text, "sentiment-en", text.Request("the", parameters))[0][0].score == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("inputs", "error"),
    [([], BadRequest), (["a"] * 33, PayloadTooLarge), ("a" * 10_001, PayloadTooLarge)],
)
def test_texts_beyond_the_limits_are_refused(serving: Path, inputs: str | list[str], error: type[HearthError]) -> None:
    with pytest.raises(error):
        ask(text, "sentiment-en", text.Request(inputs))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
@pytest.mark.parametrize("form", ["PNG", "WEBP", "GIF"])
def test_pictures_of_every_kind(serving: Path, form: str, mode: str) -> None:
    answer = ask(image, "resnet20-cifar10", image.Request(picture(form, mode)))
    assert answer[0].label == "red"


def test_a_cmyk_jpeg_and_one_that_lies_on_its_side(serving: Path) -> None:
    answer = ask(image, "resnet20-cifar10", image.Request(picture("JPEG", "CMYK")))
    assert answer[0].label == "red"
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
def test_bad_pictures_are_refused(serving: Path, data: bytes, error: type[HearthError]) -> None:
    with pytest.raises(error):
        ask(image, "resnet20-cifar10", image.Request(data))
