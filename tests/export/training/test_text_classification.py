from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from hearth_build.data.datasets import DataError
from hearth_build.recipe import RecipeError
from hearth_build.training import plan as plans
from hearth_build.training.plan import Plan
from hearth_build.training.run import run
from tests.export import toy
from tests.export.training.running import texts, train_on, write_csv


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
