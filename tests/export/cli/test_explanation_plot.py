from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hearth_build.cli.explanation_plot import PLOTS
from tests.support.sounds import encode_audio, synthesize


def colours(path: Path) -> tuple[int, int]:
    """Numbers of pixels that are rather red and rather blue."""
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    return int((pixels[..., 0] > pixels[..., 2] + 60).sum()), int((pixels[..., 2] > pixels[..., 0] + 60).sum())


def draw(kind: str, path: Path, parts: list[Any], inputs: Any = None, **fields: Any) -> tuple[int, int]:
    defaults = {"target": "good", "measure": "probability", "base_score": 0.1, "score": 0.9, "outputs": ()}
    PLOTS[kind](SimpleNamespace(parts=parts, **{**defaults, **fields}), inputs, path)  # type: ignore[arg-type]
    return colours(path)


def test_tiles_are_red_where_they_raise_the_score_and_blue_where_they_lower_it(tmp_path: Path) -> None:
    def tile(xmin: int, xmax: int, value: float) -> Any:
        return SimpleNamespace(box=SimpleNamespace(xmin=xmin, xmax=xmax, ymin=0, ymax=10), value=value)

    picture = io.BytesIO()
    Image.new("RGB", (30, 10), (0, 200, 0)).save(picture, "PNG")
    tiles = [tile(0, 10, 0.8), tile(10, 20, -0.8), tile(20, 30, 0.0)]
    assert draw("tiles", tmp_path / "a.png", tiles, picture.getvalue()) == (100, 100)
    with Image.open(tmp_path / "a.png") as drawn:
        red, green, blue = drawn.convert("RGB").getpixel((25, 5))  # type: ignore[misc]
    assert red == green == blue, "the picture itself is grey"


def test_columns_are_bars_with_the_largest_on_top(tmp_path: Path) -> None:
    def column(name: str, value: float) -> Any:
        return SimpleNamespace(column=name, content=1, value=value, error=0.01)

    red, blue = draw("columns", tmp_path / "a.png", [column("age", 0.9), column("hours", -0.2)])
    assert red > 2 * blue > 0


def test_words_of_a_written_text_are_rows_of_their_causes(tmp_path: Path) -> None:
    words = [SimpleNamespace(text=text) for text in ("ein", "Hund")]
    outputs = [SimpleNamespace(text="a", values=[1.0, 0.0]), SimpleNamespace(text="dog", values=[0.0, -1.0])]
    red, blue = draw("written", tmp_path / "a.png", words, outputs=outputs)
    assert red == pytest.approx(blue, rel=0.1)
    assert red > 100


def test_segments_of_a_recording_are_below_its_wave(tmp_path: Path) -> None:
    parts = [SimpleNamespace(start=0.0, end=0.5, value=1.0), SimpleNamespace(start=0.5, end=1.0, value=0.0)]
    red, blue = draw("segments", tmp_path / "a.png", parts, encode_audio(synthesize("cab")))
    assert red > 100
    assert blue == 0
