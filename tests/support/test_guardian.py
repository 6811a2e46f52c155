"""An interrupted test run leaves no process behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support import ROOT
from tests.support.servers import take_interrupts

TEST = """
import os, subprocess, sys, time
from pathlib import Path

SERVER = "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], "
SERVER += "start_new_session=True, env={}); time.sleep(600)"


def test_it_starts_a_server_with_a_worker():
    server = subprocess.Popen([sys.executable, "-c", SERVER], start_new_session=True)
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children")
    while not children.read_text().split():
        time.sleep(0.05)
    Path(os.environ["PIDS"]).write_text(" ".join(map(str, [os.getpid(), server.pid, *children.read_text().split()])))
    time.sleep(600)
"""


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except OSError:
        return False


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ended_by", "workers"), [(signal.SIGINT, 1), (signal.SIGTERM, 1), (signal.SIGKILL, 1), (signal.SIGTERM, 0)]
)
def test_no_process_outlives_the_run(tmp_path: Path, ended_by: signal.Signals, workers: int) -> None:
    (tmp_path / "conftest.py").write_text("from tests.support import guardian\n\n\ndef pytest_configure():\n"
        "    guardian.start_once()\n")  # fmt: skip
    (tmp_path / "test_it.py").write_text(TEST)
    pids = tmp_path / "pids"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-n",
        str(workers),
        "--rootdir",
        tmp_path,
        "-p",
        "no:cacheprovider",
    ]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment |= {"PIDS": str(pids), "PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    run = subprocess.Popen(
        [*map(str, command), str(tmp_path / "test_it.py")],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=take_interrupts,
    )
    try:
        while not pids.exists() or len(pids.read_text().split()) < 3:
            assert run.poll() is None
            time.sleep(0.05)
        started = [int(pid) for pid in pids.read_text().split()]
        assert all(map(is_running, started))
        os.killpg(run.pid, ended_by) if ended_by is signal.SIGINT else run.send_signal(ended_by)
        run.wait(30)
        ends = time.monotonic() + 20
        while any(map(is_running, started)):
            assert time.monotonic() < ends, [pid for pid in started if is_running(pid)]
            time.sleep(0.05)
    finally:
        run.kill()
