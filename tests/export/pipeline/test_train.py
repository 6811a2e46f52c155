"""The training loop: a run that was killed and resumed ends with the same weights as an uninterrupted one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from hearth_build.pipeline import train
from hearth_build.pipeline.fingerprint import of_stage
from hearth_build.recipe import RecipeError
from tests.export import toy

CHILD = """
import sys
from pathlib import Path
import torch
from hearth_build.pipeline import train
from tests.export import toy
torch.set_num_threads(1)
train.CHECKPOINT_SECONDS = 0.1
train.train(toy.stage(kind=toy.SlowTexts), Path(sys.argv[1]), seed=3)
"""


def start_training(work: Path) -> subprocess.Popen[bytes]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen([sys.executable, "-c", CHILD, str(work)], env=environment, stdout=subprocess.DEVNULL)


def test_a_run_killed_in_mid_epoch_resumes_to_the_same_weights(tmp_path: Path) -> None:
    uninterrupted, killed = tmp_path / "whole", tmp_path / "killed"
    for work in (uninterrupted, killed):
        work.mkdir()
        toy.prepare(work)
    assert start_training(uninterrupted).wait(300) == 0
    process = start_training(killed)
    checkpoint = killed / "train" / "checkpoint.pt"
    deadline = time.monotonic() + 120
    while not (checkpoint.exists() and torch.load(checkpoint, weights_only=True)["step"] > 3):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait(30)
    assert not (killed / "train" / "weights.pt").exists()
    assert start_training(killed).wait(300) == 0
    first, second = (torch.load(work / "train" / "weights.pt", weights_only=True) for work in (uninterrupted, killed))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_checkpoint_of_other_settings_is_refused(tmp_path: Path) -> None:
    toy.prepare(tmp_path)
    (tmp_path / "train").mkdir()
    stage = toy.stage(epochs=4)
    train.Run(stage, tmp_path, tmp_path / "train", 1, of_stage(stage, 1, "")).checkpoint()
    with pytest.raises(RecipeError, match="train from scratch"):
        train.train(toy.stage(epochs=5), tmp_path, seed=1)


def test_a_finished_stage_is_not_trained_again(toy_work: Path) -> None:
    before = (toy_work / "train" / "weights.pt").stat().st_mtime_ns
    train.train(toy.stage(), toy_work, seed=1, inputs=(toy_work / "prepared").read_text(encoding="utf-8"))
    assert (toy_work / "train" / "weights.pt").stat().st_mtime_ns == before
    assert (toy_work / "train" / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_a_schedule_ends_when_the_time_is_over(tmp_path: Path) -> None:
    stage = replace(toy.stage(epochs=1000, kind=toy.SlowTexts), minutes=0.08)
    toy.prepare(tmp_path)
    train.train(stage, tmp_path, 1)
    history = train.history_of(tmp_path, stage.name)
    assert 0 < len(history) < 100
