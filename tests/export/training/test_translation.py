"""A translator is trained on made-up sentences, from two files to the answer of the artifact."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from hearth_build.data.datasets import DataError
from hearth_build.recipe import RecipeError
from hearth_build.training import transformer
from hearth_build.training.candidates import Session
from hearth_build.training.plan import Plan, with_checksums, with_examples
from hearth_build.training.run import run
from hearth_build.training.translation import TRAINER, dictionary
from tests.export.training.running import train_on, write_csv

NOUNS = {"dog": "Hund", "cat": "Katze", "man": "Mann", "tree": "Baum", "house": "Haus", "child": "Kind"}
VERBS = {"sees": "sieht", "likes": "mag", "finds": "findet", "paints": "malt"}


def pairs(count: int) -> list[tuple[str, str]]:
    generator = random.Random(1)
    sentences: dict[str, str] = {}
    while len(sentences) < count:
        first, second, third = generator.choices(list(NOUNS), k=3)
        verb = generator.choice(list(VERBS))
        english = f"the {first} {verb} a {second} and the {third}."
        sentences[english] = f"{NOUNS[first]} {VERBS[verb]} ein {NOUNS[second]} und {NOUNS[third]}."
    return list(sentences.items())


def test_two_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = {"hidden": 64, "encoder_layers": 1, "decoder_layers": 1, "heads": 4, "intermediate": 128}
    monkeypatch.setattr(transformer, "SIZE", size)
    english, german = zip(*pairs(240), strict=True)
    (tmp_path / "train.en").write_text("\n".join(english) + "\n")
    (tmp_path / "train.de").write_text("\n".join(german) + "\n")
    manifest, answer = train_on(
        "translation", tmp_path / "train.en", tmp_path / "work", settings={"epochs": 20, "learning_rate": 0.003}
    )
    assert (manifest.head.source, manifest.head.target) == (("en",), ("de",))  # type: ignore[union-attr]
    assert manifest.metrics.served["BLEU (test)"] > 30
    low, high = (manifest.metrics.served[f"BLEU (test), {side}"] for side in ("low", "high"))
    assert low <= manifest.metrics.served["BLEU (test)"] <= high
    assert answer("the dog sees a cat and the tree.").startswith("Hund")
    card = (tmp_path / "work/artifact/report.md").read_text()
    assert "word for word" in card
    assert not any(text in card for text in german)  # the card is published with the model


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (pairs(10), "has 10 pairs with two texts. At least 20"),
        ([(english, "eins") for english, _ in pairs(30)], "the same target"),
        ([(english, english.upper()) for english, _ in pairs(30)], "target is the same as source in 30 of 30"),
    ],
)
def test_pairs_that_cannot_be_learnt_from_say_why(rows: list[tuple[str, str]], message: str, tmp_path: Path) -> None:
    data = write_csv(tmp_path / "a.csv", [["en", "de"], *map(list, rows)])
    with pytest.raises(DataError, match=message):
        run(Plan(task="translation", name="tiny", data=str(data)), tmp_path / "work", "")


def test_the_report_names_empty_texts_and_languages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_csv(tmp_path / "a.csv", [["de", "en"], *([b, a] for a, b in pairs(40)), ["leer", ""]])
    assert run(Plan(task="translation", name="tiny", data=str(data)), tmp_path / "work", "", check=True) is None
    output = " ".join(capsys.readouterr().out.split())
    assert "40 pairs" in output
    assert "left out: row 41" in output
    assert "a small Transformer from scratch" in output


def test_a_recipe_is_refused_if_the_second_file_has_changed(tmp_path: Path) -> None:
    english, german = zip(*pairs(40), strict=True)
    (tmp_path / "train.en").write_text("\n".join(english))
    (tmp_path / "train.de").write_text("\n".join(german))
    plan = with_checksums(Plan(task="translation", name="tiny", data=str(tmp_path / "train.en")))
    recorded = with_examples(plan, TRAINER.read(Session(plan, tmp_path / "work", "")).split)
    assert run(recorded, tmp_path / "work", "", check=True) is None
    (tmp_path / "train.de").write_text("\n".join([*german[:-1], "etwas anderes"]))
    with pytest.raises(DataError, match="a file that it refers to has changed"):
        run(recorded, tmp_path / "work", "", check=True)


def test_another_kind_of_checkpoint_is_refused(tmp_path: Path) -> None:
    data = write_csv(tmp_path / "a.csv", [["en", "de"], *map(list, pairs(40))])
    with pytest.raises(RecipeError, match="is no encoder-decoder"):
        run(Plan(task="translation", name="tiny", data=str(data), base="minilm"), tmp_path / "work", "")


def test_the_dictionary_has_the_words_that_occur_together() -> None:
    words = dictionary(pairs(100))
    assert {english: words[english] for english in NOUNS} == {a: b.lower() for a, b in NOUNS.items()}
