"""The inputs of matrices in files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hearth_build.importing.recorded_inputs import RecordedInputs


def test_inputs_are_stored_once_and_found_by_another_process(tmp_path: Path) -> None:
    recorded = RecordedInputs(tmp_path / "inputs")
    assert not recorded.open()
    recorded.clear()
    values = np.array([[3.0, -400_000.0, 0.0], [1.0, 200_000.0, 0.0]], np.float32)
    source = object()
    recorded.add("query", source, values)
    recorded.add("key", source, values)
    recorded.add("out", object(), values[:, :1])
    assert not RecordedInputs(tmp_path / "inputs").open()  # an interrupted record is none
    recorded.save()
    again = RecordedInputs(tmp_path / "inputs")
    assert again.open()
    assert len(list((tmp_path / "inputs").glob("*.npz"))) == 2
    for name in ("query", "key"):
        loaded = again.load(name)
        assert loaded is not None
        np.testing.assert_allclose(loaded, values, rtol=1e-2)
    assert again.load("head") is None
    recorded.clear()
    assert not again.open()
