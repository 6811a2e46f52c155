"""What `hearth predict` takes as input, and what other commands say of a store."""

from __future__ import annotations

import codecs
import json
import shutil
from pathlib import Path

import pytest
import typer
from PIL import Image

from hearth_build import ZOO
from hearth_build.cli.predict import read_input
from tests.export.cli.test_main import hearth


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "review.txt").write_bytes(b"awful")
    (tmp_path / "my review").write_bytes(b"awful")
    (tmp_path / "data").mkdir()
    return tmp_path


@pytest.mark.parametrize("value", ["review.txt", "./review.txt", "my review"])
def test_a_file_is_read(value: str) -> None:
    assert read_input(value, takes_text=True) == b"awful"


@pytest.mark.parametrize("value", ["good.jpeg", "./a b", "/x", "reviews/good", "C:\\x.txt", "good.txt", "data/"])
def test_a_path_without_a_file_is_refused(value: str) -> None:
    with pytest.raises(typer.BadParameter, match=r"no file|is a folder"):
        read_input(value, takes_text=True)


@pytest.mark.parametrize(
    "value", ["good", "A good film.", "3.5", "I like node.js", "and / or", '{"inputs": "a/b.txt"}', "good" * 2000]
)
def test_a_text_is_a_text(value: str) -> None:
    assert read_input(value, takes_text=True) == value.encode()


def test_a_task_for_files_takes_no_text() -> None:
    with pytest.raises(typer.BadParameter, match="no file good"):
        read_input("good", takes_text=False)


def test_predict_reads_files_and_standard_input(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "bad.txt").write_bytes(codecs.BOM_UTF8 + b"This is a terrible, awful, boring film.")
    answer = hearth("predict", "sentiment-en", "bad.txt", "--parameters", '{"top_k": 1}', cwd=folder)
    assert [label["label"] for label in json.loads(answer.stdout)[0]] == ["negative"], answer.stderr
    piped = hearth("predict", "sentiment-en", "-", cwd=folder, stdin=b"A wonderful film, I love it.")
    assert json.loads(piped.stdout)[0][0]["label"] == "positive", piped.stderr
    refused = hearth("predict", "sentiment-en", "wonderful.txt", cwd=folder)
    assert refused.returncode != 0
    assert "There is no file wonderful.txt" in refused.stderr


@pytest.mark.parametrize(
    "command",
    [
        ("models", "--store"),
        ("predict", "sentiment-en", "good", "--store"),
        ("serve", "--port", "1", "--store"),
        ("catalog", "--store"),
        ("alias", "sentiment-en", "prod", "--store"),
        ("drift", "sentiment-en", "--watch"),
        ("review", "sentiment-en", "--capture"),
    ],
)
def test_a_store_that_does_not_exist_is_an_error(folder: Path, command: tuple[str, ...]) -> None:
    result = hearth(*command, (folder / "nope").as_uri(), cwd=folder)
    assert result.returncode == 1
    assert result.stdout == ""
    assert f"{folder}/nope does not exist" in result.stderr.replace("\n", "")
    assert not (folder / "nope").exists()


def test_a_damaged_version_is_named_beside_the_others(folder: Path) -> None:
    for name in ("sentiment-zh", "ner-zh"):
        shutil.copytree(ZOO / name, folder / "store" / name)
    (folder / "store/ner-zh/1/manifest.json").write_text("{}")
    result = hearth("models", "--store", (folder / "store").as_uri(), cwd=folder)
    assert "sentiment-zh" in result.stdout
    assert "ner-zh@1: manifest.json" in result.stderr


def test_an_output_is_readable_on_request(folder: Path) -> None:
    result = hearth("predict", "sentiment-en", "A wonderful film.", "--no-json", cwd=folder)
    label, score, bar = result.stdout.splitlines()[0].split()
    assert label == "positive"
    assert len(bar) == round(24 * float(score))


def test_boxes_are_drawn_into_a_file(folder: Path) -> None:
    Image.new("RGB", (96, 80), "white").save(folder / "empty.png")
    result = hearth("predict", "yolo-cells", "empty.png", "--draw", "drawn.jpg", cwd=folder)
    assert result.returncode == 0, result.stderr
    assert "boxes" in json.loads(result.stdout)
    with Image.open(folder / "drawn.jpg") as drawn:
        assert drawn.size == (96, 80)
    for arguments, message in (
        (("sentiment-en", "good", "--draw", "x.jpg"), "not for text-classification"),
        (("yolo-cells", "empty.png", "--draw", "nowhere/x.jpg"), "nowhere does not exist"),
    ):
        refused = hearth("predict", *arguments, cwd=folder)
        assert refused.returncode in (1, 2)
        assert message in " ".join(refused.stderr.replace("│", "").split())


def test_an_artifacts_folder_is_run_without_a_store(folder: Path) -> None:
    answer = hearth("predict", str(ZOO / "sentiment-en/1"), "A wonderful film.", cwd=folder)
    assert json.loads(answer.stdout)[0][0]["label"] == "positive", answer.stderr
    refused = hearth("predict", str(ZOO / "sentiment-en"), "x", cwd=folder)
    assert "Did you mean" in refused.stderr
    assert "There is no folder ./dat. Did you mean data?" in hearth("predict", "./dat", "x", cwd=folder).stderr


def test_a_detector_that_finds_nothing_says_how_to_see_more(folder: Path) -> None:
    picture = str(ZOO.parents[1] / "functions/catalog/page/cells.jpg")
    run = ("predict", "yolo-cells", picture, "--no-json", "--parameters", '{"threshold": 0.999}')
    answer = hearth(*run, cwd=folder)
    assert answer.stdout == "nothing\n"
    assert "lower it: --parameters" in answer.stderr
