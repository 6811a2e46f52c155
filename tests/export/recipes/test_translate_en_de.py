from __future__ import annotations

import os

import pytest

from hearth_build.data.datasets import text_key
from hearth_build.recipes.translate_en_de import data as en_de


@pytest.mark.skipif("HEARTH_DATA" not in os.environ, reason="HEARTH_DATA is not set")
def test_no_caption_of_the_evaluation_is_in_the_training_data() -> None:
    splits = en_de.split_pairs()
    trained = {text_key(text) for name in ("train", "held") for pair in splits[name] for text in pair}
    assert not trained & {text_key(text) for pair in splits["val"] for text in pair}
    assert len(splits["val"]) == 1014


def test_captions_of_the_evaluation_are_left_out_of_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    files = {
        "val": [("A dog.", "Ein Hund.")],
        "train": [
            ("a dog", "Ein Tier."),
            ("An animal.", "ein Hund"),
            *((f"Cat {n}.", f"Katze {n}.") for n in range(400)),
        ],
    }
    monkeypatch.setattr(en_de, "read_file", lambda split: files[split])
    splits = en_de.split_pairs()
    assert splits["val"] == files["val"]
    assert len(splits["train"]) + len(splits["held"]) == 400
    assert not set(splits["train"]) & set(splits["held"])
