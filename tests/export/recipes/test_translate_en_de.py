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
