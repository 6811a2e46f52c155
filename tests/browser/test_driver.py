from __future__ import annotations

import subprocess
import sys
import threading

import psutil
import pytest

from tests.browser import driver

SPINNING = """
import os, signal
signal.signal(signal.SIGCONT, lambda *_: os._exit(3))
while True:
    pass
"""


def test_a_driver_that_spins_is_stopped_and_continued(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "BUSY_SHARE", 0.05)  # other processes may have the processor
    monkeypatch.setattr(driver, "SECONDS", 1)
    with subprocess.Popen([sys.executable, "-c", SPINNING]) as process:
        ended = threading.Event()
        watching = threading.Thread(target=driver._interrupt, args=(psutil.Process(process.pid), ended))
        watching.start()
        try:
            assert process.wait(60) == 3
        finally:
            process.kill()
            ended.set()
            watching.join()
