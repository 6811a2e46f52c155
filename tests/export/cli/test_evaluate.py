"""`hearth evaluate`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.export.cli.test_main import hearth
from tests.support.pictures import jpeg
from tests.support.sounds import encode_audio


def test_evaluate_measures_on_the_users_file(toy_work: Path, tmp_path: Path) -> None:
    store = ("--store", (tmp_path / "store").as_uri())
    hearth("publish", str(toy_work / "artifact"), *store, "--alias", "prod", cwd=tmp_path)
    data = tmp_path / "mine.tsv"
    data.write_text("good great worda\t1\nbad awful wordb\t0\ngood great wordc\t0\n", encoding="utf-8")
    result = hearth("evaluate", "toy", "--data", str(data), *store, cwd=tmp_path)
    assert "toy@1 on 3 examples" in result.stdout, result.stderr
    assert "accuracy  0.6667" in result.stdout
    measured = hearth("evaluate", "toy", "--data", str(data), *store, "--json", cwd=tmp_path)
    assert json.loads(measured.stdout)["examples"] == 3
    data.write_text("no label here\n", encoding="utf-8")
    assert "reads a CSV, TSV" in hearth("evaluate", "toy", "--data", str(data), *store, cwd=tmp_path).stderr
    missing = hearth("evaluate", "toy", "--data", "nowhere", *store, cwd=tmp_path)
    assert "nowhere does not exist" in missing.stderr
    assert missing.returncode == 1


PICTURE = jpeg(Image.fromarray(np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)))


def boxes(folder: Path) -> None:
    (folder / "labels").mkdir()
    (folder / "labels/b.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    (folder / "images").mkdir()
    (folder / "images/b.jpg").write_bytes(PICTURE[:200])
    (folder / "classes.txt").write_text("RBC\nWBC\nPlatelets\n")


def pictures(folder: Path) -> None:
    (folder / "ship").mkdir()
    for name, data in (("a.jpg", PICTURE), ("b.jpg", PICTURE[:200])):
        (folder / "ship" / name).write_bytes(data)


def recordings(folder: Path) -> None:
    for name, data in (("7_a_0.wav", encode_audio(np.zeros(8000), 8000)), ("7_b_0.wav", b"RIFF....WAVE")):
        (folder / name).write_bytes(data)


@pytest.mark.parametrize(
    ("model", "write", "name"),
    [
        ("resnet20-cifar10", pictures, "ship/b.jpg: The picture"),
        ("yolo-cells", boxes, "b.jpg cannot be decoded"),
        ("deepspeech-digits", recordings, "7_b_0.wav: The sound"),
    ],
)
def test_a_file_that_cannot_be_decoded_is_named(
    tmp_path: Path, model: str, write: Callable[[Path], None], name: str
) -> None:
    write(tmp_path)
    result = hearth("evaluate", model, "--data", str(tmp_path), cwd=tmp_path)
    assert (result.returncode, name in " ".join(result.stderr.split())) == (1, True), result.stderr


def test_a_text_that_a_model_does_not_take_is_named_by_its_row(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("text,label\ngood,positive\n\u200b,negative\nbad,negative\n")
    result = hearth("evaluate", "sentiment-en", "--data", str(tmp_path / "t.csv"), cwd=tmp_path)
    assert "row 2: " in result.stderr
