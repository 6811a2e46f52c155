"""Two processes, as torchrun starts them, train to the result of one within the noise of its seed."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import torch

from hearth_build.pipeline import distributed, train
from tests.export import toy
from tests.support import ROOT

SCRIPT = """
import json, sys
from pathlib import Path
from hearth_build.pipeline import distributed, train
from tests.export import toy
distributed.start()
work = Path(sys.argv[1]) / str(distributed.rank())
work.mkdir()
toy.prepare(work)
train.train(toy.stage(epochs=3), work, 1)
weights = train.weights_of(work, "train")
total = sum(float(value.double().sum()) for value in weights.values())
(work / "result.json").write_text(json.dumps([train.history_of(work, "train")[-1]["accuracy"], total]))
"""


def test_two_processes_train_one_network(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "GLOO_SOCKET_IFNAME": "lo"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(tmp_path)],
            env={**os.environ, **shared, "RANK": str(rank), "OMP_NUM_THREADS": "1"},
            cwd=ROOT,
        )
        for rank in range(2)
    ]
    assert [process.wait(300) for process in processes] == [0, 0]
    (first, sum_of_first), (second, sum_of_second) = (
        json.loads((tmp_path / str(rank) / "result.json").read_text()) for rank in range(2)
    )
    assert first == second
    assert abs(sum_of_first - sum_of_second) < 1e-3
    alone = tmp_path / "alone"
    alone.mkdir()
    toy.prepare(alone)
    train.train(toy.stage(epochs=3), alone, 1)
    assert abs(train.history_of(alone, "train")[-1]["accuracy"] - first) < 0.1


def test_one_process_has_the_whole_batch() -> None:
    assert (distributed.size(), distributed.rank(), distributed.agree("x")) == (1, 0, "x")
    assert distributed.share([3, 4, 5]) == ([3, 4, 5], 1.0)
    network = torch.nn.BatchNorm1d(2)
    distributed.average_buffers(network)
    assert network.running_var.tolist() == [1.0, 1.0]
