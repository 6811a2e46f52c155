"""How tracks are evaluated: by motmetrics, on sequences of each format, and on TUD-Campus."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hearth import settings
from hearth.models.cache import warm_cache
from hearth_build.cli.main import app as cli
from hearth_build.data.datasets import DataError
from hearth_build.evaluations.object_tracking import EVALUATION, match_tracks, read_table
from tests.functions.films import MODEL, SIDE, frames, make_squares, make_video

TRUTH = "".join(
    f"{n + 1},1,{3 + n},5,{SIDE},{SIDE},1,-1,-1,-1\n{n + 1},2,{79 - n},41,{SIDE},{SIDE},1,-1,-1,-1\n" for n in range(20)
)
DETECTIONS = TRUTH.replace(",1,-1,-1,-1", ",0.99,-1,-1,-1")


@pytest.fixture
def sequence(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/squares_gt.txt").write_text(TRUTH)
    return tmp_path / "data"


def evaluate(store: Path, data: Path) -> str:
    command = ["evaluate", MODEL, "--task", "object-tracking", "--data", str(data), "--store", store.as_uri()]
    settings.get.cache_clear()
    warm_cache.cache_clear()
    result = CliRunner().invoke(cli, command)
    assert result.exit_code == 0, result.output
    return result.output


def test_the_command_evaluates_a_video(serving: Path, sequence: Path) -> None:
    make_squares(serving)
    (sequence / "squares.mp4").write_bytes(make_video(frames(20)))
    assert "MOTA  1.0000" in evaluate(serving, sequence)


def test_folders_of_the_mot_challenge_are_read(tmp_path: Path) -> None:
    for name in ("one", "two"):
        for file, text in (("gt/gt.txt", TRUTH), ("det/det.txt", DETECTIONS)):
            (tmp_path / name / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name / file).write_text(text)
    for name in ("._gt.txt", "gt/._one_gt.txt"):
        (tmp_path / "one" / name).write_bytes(b"of macOS")
    examples = EVALUATION.read(tmp_path)
    assert len(examples) == 2
    measured = EVALUATION.measure(None, examples)
    assert measured["MOTA"] == measured["IDF1"] == 1
    assert measured["MOTP"] > 0.95
    assert measured["identity switches"] == measured["misses"] == 0


def test_ignored_rows_and_identity_switches_are_counted(sequence: Path) -> None:
    """Half-way the two objects swap their ids."""
    truth = read_table(sequence / "squares_gt.txt")
    swapped = truth.copy()
    second_half = swapped[:, 0] > 10
    swapped[second_half, 1] = 3 - swapped[second_half, 1]
    assert (match_tracks(truth, swapped).mot_events["Type"] == "SWITCH").sum() == 2
    ignored = truth.copy()
    ignored[ignored[:, 1] == 2, 6] = 0
    assert (match_tracks(ignored, truth).mot_events["Type"] == "FP").sum() == 20


def test_difference_of_two_outputs() -> None:
    rows = [[n, 1, 10 + n, 10, 16, 16, 0.9] for n in range(1, 11)]
    assert EVALUATION.difference(rows, rows) == EVALUATION.difference([], []) == 0
    assert EVALUATION.difference(rows, rows[:5]) == pytest.approx(5 / 15)
    assert EVALUATION.difference(rows, []) == 1
    assert EVALUATION.summarize(rows) == "1 tracks in 10 frames"


def test_data_of_another_format_is_refused(tmp_path: Path, sequence: Path) -> None:
    with pytest.raises(DataError, match=r"gt/gt\.txt"):
        EVALUATION.read(sequence / "squares_gt.txt")
    with pytest.raises(DataError, match="one video or one file of detections"):
        EVALUATION.read(sequence)
    (sequence / "squares.mp4").touch()
    (sequence / "squares_gt.txt").write_text("1,2,3\n")
    with pytest.raises(DataError, match="3 columns"):
        EVALUATION.read(sequence)
    (sequence / "squares_gt.txt").write_text("frame\n")
    with pytest.raises(DataError, match="must be numbers"):
        EVALUATION.read(sequence)


@pytest.mark.skipif("HEARTH_DATA" not in os.environ, reason="needs TUD-Campus in HEARTH_DATA")
def test_tud_campus_is_tracked_better_than_by_sort() -> None:
    """SORT's own table for these detections: MOTA 62.7, MOTP 73.7, 6 switches."""
    examples = EVALUATION.read(Path(os.environ["HEARTH_DATA"]) / "tracking")
    measured = EVALUATION.measure(None, examples)
    assert measured["MOTA"] > 0.75
    assert measured["MOTP"] > 0.73
    assert measured["identity switches"] <= 2


def test_predict_writes_only_the_output_to_standard_output(
    serving: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hearth.tasks.tracking.PROGRESS_SECONDS", 0)
    make_squares(serving)
    path = tmp_path / "squares.mp4"
    path.write_bytes(make_video(frames(9)))
    command = ["predict", MODEL, str(path), "--task", "object-tracking", "--store", serving.as_uri()]
    result = CliRunner().invoke(cli, command)
    assert json.loads(result.stdout)["frames"] == 9
    assert '"message":"progress"' in result.stderr
