"""`hearth explain` shows and draws every kind of parts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.export.cli.test_main import hearth
from tests.support.artifacts import make_image_artifact, make_table_artifact, make_text_artifact
from tests.support.sounds import encode_audio, make_sound_artifact, synthesize


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("store")
    make_text_artifact(folder)
    make_image_artifact(folder)
    make_sound_artifact(folder)
    make_table_artifact(folder, columns=dict.fromkeys(("age", "hours", "rooms"), (1.0, 2.0, 3.0)))
    return folder


def red_and_blue(path: Path) -> tuple[int, int]:
    """Numbers of pixels that are rather red and rather blue."""
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    return int((pixels[..., 0] > pixels[..., 2] + 60).sum()), int((pixels[..., 2] > pixels[..., 0] + 60).sum())


def test_columns_are_listed_and_drawn(store: Path, tmp_path: Path) -> None:
    (tmp_path / "row.csv").write_text("age,hours,rooms\n9,4,2\n")
    arguments = ("explain", "tabular-regression", "row.csv", "--store", store.as_uri())
    result = hearth(*arguments, "--plot", "columns.png", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert "(8 runs, exact-shapley)" in lines[0]
    assert lines[1].split() == ["+14", "age", "9"]
    assert lines[2].split() == ["-6", "hours", "4"]
    red, blue = red_and_blue(tmp_path / "columns.png")
    assert red > 2 * blue > 0
    document = json.loads(hearth(*arguments, "--json", cwd=tmp_path).stdout)
    assert document["explanation"]["parts"][0]["value"] == pytest.approx(14)


def test_seconds_of_each_word_are_listed_and_drawn(store: Path, tmp_path: Path) -> None:
    (tmp_path / "words.wav").write_bytes(encode_audio(synthesize("cab bed")))
    arguments = ("explain", "tones", "words.wav", "--store", store.as_uri())
    result = hearth(*arguments, "--target", "bed", "--plot", "words.png", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("bed: log-probability")
    (line,) = (line for line in result.stdout.splitlines() if line.startswith("bed  <- "))
    assert 0.4 < float(line.split()[2]) < 0.9
    assert red_and_blue(tmp_path / "words.png")[0] > 100


def test_tiles_are_drawn_and_words_are_not(store: Path, tmp_path: Path) -> None:
    Image.new("RGB", (64, 32), (200, 20, 20)).save(tmp_path / "red.png")
    arguments = ("--store", store.as_uri(), "--plot", "plot.png")
    drawn = hearth("explain", "resnet20-cifar10", "red.png", *arguments, cwd=tmp_path)
    assert drawn.returncode == 0, drawn.stderr
    with Image.open(tmp_path / "plot.png") as picture:
        assert picture.size == (64, 32)
    (tmp_path / "plot.png").unlink()
    refused = hearth("explain", "sentiment-en", "a good film", *arguments, cwd=tmp_path)
    assert refused.returncode == 1
    assert "does not draw the words of a text" in refused.stderr
    assert not (tmp_path / "plot.png").exists()


def test_words_of_a_written_text_are_listed_with_their_causes_and_drawn(tmp_path: Path) -> None:
    arguments = ("explain", "translate-en-de", "a black dog .", "--plot", "words.png")
    result = hearth(*arguments, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "schwarzer  <- black +" in result.stdout
    assert red_and_blue(tmp_path / "words.png")[0] > 1000
