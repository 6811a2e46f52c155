"""Estimates of memory grow with what is decoded, and stay within the model's limits."""

from __future__ import annotations

import io
import tracemalloc
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
import soundfile

from hearth.models.cache import warm_cache
from hearth.models.heads import Decoder
from hearth.models.manifest import Limits
from hearth.models.preprocessing import AudioPreprocessing, ImagePreprocessing, TextPreprocessing
from hearth.task_table import TASKS
from hearth.tasks import work_memory
from hearth.tasks.work_memory import BYTES_PER_PIXEL, BYTES_PER_TOKEN, MIN_BYTES, estimate, estimate_tensors
from hearth_functions.image_classification import app as image
from hearth_functions.text_classification import app as text
from tests.support.pictures import picture

IMAGE = ImagePreprocessing(32, 16, "stretch", (0.5,) * 3, (0.5,) * 3)
AUDIO = AudioPreprocessing(16000, 400, 160, 512, 80, 0.0, 8000.0)
TEXT = TextPreprocessing("tokenizer.json", 128)
CANVAS = 3 * 32 * 16 * work_memory.BYTES_PER_TENSOR_VALUE


class Request(msgspec.Struct):
    inputs: Any
    parameters: Any = None


def size(task: str, preprocessing: Any, inputs: Any, *, head: Any = None, limits: Limits | None = None) -> int:
    manifest = SimpleNamespace(preprocessing=preprocessing, head=head, limits=limits or Limits())
    model: Any = SimpleNamespace(manifest=manifest)
    return estimate(TASKS[task], model, Request(inputs))


@pytest.fixture
def no_minimum(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work_memory, "MIN_BYTES", 0)


def test_small_work_counts_as_a_megabyte() -> None:
    assert size("text-classification", TEXT, "a") == MIN_BYTES


def test_pictures_are_decoded_one_by_one_and_their_tensors_are_together(no_minimum: None) -> None:
    small, large = picture(size=(10, 20)), picture(size=(100, 200))
    decoded = 100 * 200 * work_memory.BYTES_PER_PIXEL
    assert size("image-classification", IMAGE, large) == decoded + CANVAS
    assert size("image-classification", IMAGE, [small, large, small]) == decoded + 3 * CANVAS
    assert size("image-classification", IMAGE, [large] * 9, limits=Limits(batch=2)) == decoded + 2 * CANVAS
    limited = size("image-classification", IMAGE, large, limits=Limits(pixels=100))
    assert limited == 100 * work_memory.BYTES_PER_PIXEL + CANVAS
    assert size("image-classification", IMAGE, b"no picture") == CANVAS


def test_frames_of_a_video_may_be_as_large_as_allowed(no_minimum: None) -> None:
    limits = Limits(pixels=5000)
    assert size("object-tracking", IMAGE, b"video", limits=limits) == 5000 * work_memory.BYTES_PER_PIXEL + CANVAS


def test_sound_is_as_long_as_its_bytes_allow(no_minimum: None) -> None:
    seconds = 16000 * work_memory.BYTES_PER_SAMPLE
    wav = b"RIFF....WAVE".ljust(20_000, b"0")
    assert size("automatic-speech-recognition", AUDIO, wav) == 20 * seconds
    assert size("automatic-speech-recognition", AUDIO, wav, limits=Limits(seconds=3)) == 3 * seconds


def test_compressed_sound_is_as_long_as_allowed(no_minimum: None) -> None:
    seconds = 16000 * work_memory.BYTES_PER_SAMPLE
    stream = io.BytesIO()
    soundfile.write(stream, np.zeros(16000 * 60, np.float32), 16000, format="FLAC")
    silence = stream.getvalue()
    assert len(silence) < 60 * work_memory.EVEN_BYTES
    assert size("automatic-speech-recognition", AUDIO, silence) == 600 * seconds
    assert size("automatic-speech-recognition", AUDIO, silence, limits=Limits(seconds=90)) == 90 * seconds


def test_texts_have_a_token_per_character_up_to_the_context(no_minimum: None) -> None:
    token = work_memory.BYTES_PER_TOKEN
    assert size("text-classification", TEXT, "a" * 10) == 10 * token
    assert size("text-classification", TEXT, ["a" * 10, "b" * 1000]) == 138 * token
    assert size("question-answering", TEXT, {"question": "a" * 5, "context": ["b" * 7]}) == 12 * token


def test_a_language_model_has_its_cache(no_minimum: None) -> None:
    head = Decoder(layers=2, kv_heads=3, head_size=4, context=128)
    cache = 128 * 2 * (2 * 3 * 4 * 4)
    assert size("text-generation", TEXT, "a" * 10, head=head) == cache + 10 * work_memory.BYTES_PER_TOKEN
    long = size("text-generation", TextPreprocessing("t", 4096), "a" * 4000, head=head)
    assert long == 4096 * 2 * (2 * 3 * 4 * 4) + 128 * work_memory.BYTES_PER_TOKEN


def test_tensors_are_counted_by_tokens_or_values() -> None:
    text: Any = SimpleNamespace(manifest=SimpleNamespace(preprocessing=TEXT))
    image: Any = SimpleNamespace(manifest=SimpleNamespace(preprocessing=IMAGE))
    ids = {"ids": np.zeros((2, 5), np.int64), "mask": np.zeros((2, 5), np.int64), "past": np.zeros((9, 9), np.float32)}
    assert estimate_tensors(text, ids) == 10 * work_memory.BYTES_PER_TOKEN
    assert estimate_tensors(text, {"x": np.zeros(3, np.float32)}) == work_memory.BYTES_PER_TOKEN
    pixels = {"pixels": np.zeros((1, 3, 4, 4), np.float32)}
    assert estimate_tensors(image, pixels) == 48 * work_memory.BYTES_PER_TENSOR_VALUE + MIN_BYTES


def image_estimate(inputs: bytes | list[bytes]) -> int:
    with warm_cache().get("resnet20-cifar10") as model:
        return estimate(TASKS["image-classification"], model, image.Request(inputs))


def test_a_picture_counts_by_its_pixels_and_not_by_its_bytes(serving: Path) -> None:
    small, large = picture(size=(200, 200)), picture(size=(1900, 1900))
    assert len(large) < 20_000
    assert image_estimate(large) >= 1900 * 1900 * BYTES_PER_PIXEL
    assert image_estimate(small) < image_estimate(large) / 5


def test_pictures_are_decoded_one_at_a_time(serving: Path) -> None:
    assert image_estimate([picture(size=(1900, 1900))] * 4) < 2 * image_estimate(picture(size=(1900, 1900)))


def test_the_estimate_covers_the_memory_of_a_decoded_picture(serving: Path) -> None:
    from hearth.ops.vision.images import open_image

    file = picture(size=(1900, 1900))
    tracemalloc.start()
    np.asarray(open_image(file, 4_000_000))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < image_estimate(file)


@pytest.mark.parametrize("file", [b"", b"no picture", picture(size=(1900, 1900))[:40]])
def test_what_is_no_picture_costs_little(serving: Path, file: bytes) -> None:
    assert image_estimate(file) < 50 * MIN_BYTES


def test_texts_count_up_to_what_the_model_reads(serving: Path) -> None:
    with warm_cache().get("sentiment-en") as model:
        limit = model.preprocessing.max_tokens * BYTES_PER_TOKEN
        for inputs, texts in (("a " * 5000, 1), (["a " * 5000] * 3, 3)):
            size = estimate(TASKS["text-classification"], model, text.Request(inputs))
            assert texts * limit <= size < (texts + 1) * limit
        assert estimate(TASKS["text-classification"], model, text.Request("a")) == MIN_BYTES


def test_tensors_count_by_their_values(serving: Path) -> None:
    with warm_cache().get("sentiment-en") as model:
        few, many = (estimate_tensors(model, {"input_ids": np.zeros((1, size), np.int64)}) for size in (10, 1000))
        assert many == 100 * few
    with warm_cache().get("resnet20-cifar10") as model:
        assert estimate_tensors(model, {"pixels": np.zeros((4, 3, 32, 32), np.float32)}) > 4 * 3 * 32 * 32 * 4
