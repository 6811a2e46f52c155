from __future__ import annotations

from pathlib import Path

import pytest

from hearth_build.data import sentence_pairs
from hearth_build.data.datasets import DataError
from tests.export.training.running import write_csv


def test_labels_of_inference_are_no_similarities(tmp_path: Path) -> None:
    lines = [["A man sleeps.", f"He is awake {number}.", str(number % 3)] for number in range(30)]
    data = write_csv(tmp_path / "nli.csv", [["premise", "hypothesis", "label"], *lines])
    with pytest.raises(DataError, match="what follows from a premise, not how similar"):
        sentence_pairs.read(data)
    columns = {"sentence1": "premise", "sentence2": "hypothesis", "score": "label"}
    assert sentence_pairs.read(data, columns)[2].expected == 2
