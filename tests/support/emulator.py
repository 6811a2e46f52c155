"""Lambda on this machine without containers: the emulator's binary, the real runtime client, Python 3.13.

Code and layers lie on the import path in the order that AWS gives them, requests go one at a time (two at
once kill the emulator), and everything the function prints is kept in `log`.
"""

from __future__ import annotations

import http.client
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from tests.support.layers import FUNCTIONS, HANDLER, ROOT, emulator_binary, layer, python313, runtime_client
from tests.support.s3 import CREDENTIALS


@dataclass(frozen=True)
class Answer:
    """What the emulator gave back for one event."""

    status: int
    raw: bytes

    @property
    def payload(self) -> dict[str, object]:
        """What the handler returned."""
        return json.loads(self.raw)

    @property
    def body(self) -> dict[str, object]:
        """The JSON body of the HTTP response that the handler returned."""
        return json.loads(str(self.payload["body"]))


class Environment:
    """An execution environment behind the emulator on `port`; requests go one at a time."""

    port: int

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def invoke(self, event: object) -> Answer:
        """Send one event and wait for its answer."""
        return self.post(json.dumps(event).encode())

    def post(self, raw: bytes) -> Answer:
        """`invoke` with the event's bytes as they are."""
        with self._lock:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
            try:
                connection.request("POST", "/2015-03-31/functions/function/invocations", raw)
                response = connection.getresponse()
                return Answer(response.status, response.read())
            finally:
                connection.close()

    @property
    def log(self) -> str:
        """All that the emulator and the function have printed so far."""
        raise NotImplementedError

    def records(self, message: str | None = None) -> list[dict[str, object]]:
        """The function's JSON log lines, in order; those with this `message` where one is given."""
        found = [json.loads(line) for line in self.log.splitlines() if line.startswith("{")]
        return [record for record in found if message is None or record.get("message") == message]


def told(memory_mb: int, timeout_s: int, name: str) -> dict[str, str]:
    """The variables in which Lambda tells a function what it is."""
    return {
        "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(memory_mb),
        "AWS_LAMBDA_FUNCTION_NAME": name,
        "AWS_LAMBDA_FUNCTION_TIMEOUT": str(timeout_s),
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "_HANDLER": HANDLER,
        **CREDENTIALS,
    }


class Emulator(Environment):
    """One function's execution environment; a context manager. The first event of each is a cold start."""

    def __init__(
        self,
        code: Path,
        packages: Sequence[Path],
        environment: Mapping[str, str],
        *,
        memory_mb: int = 1769,
        timeout_s: int = 30,
        runtime: Sequence[str | Path] = (),
    ) -> None:
        super().__init__()
        self.code = code
        self.runtime = [str(part) for part in runtime] or [str(python313()), "-m", "awslambdaric", HANDLER]
        self.environment = {
            **told(memory_mb, timeout_s, code.name),
            "LAMBDA_TASK_ROOT": str(code),
            "ORT_DISABLE_TELEMETRY": "1",
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            # Layers cannot be written to on AWS, and are not here.
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": os.pathsep.join(map(str, [code, *packages, runtime_client()])),
            **environment,
        }

    @classmethod
    def of(
        cls,
        function: str,
        environment: Mapping[str, str],
        *,
        memory_mb: int = 1769,
        timeout_s: int = 30,
        streams: bool = False,
    ) -> Emulator:
        """The environment of one of our functions, with its layers; under our own runtime if it `streams`."""
        packages = [layer(name) / "python" for name in FUNCTIONS[function]]
        code = ROOT / "functions" / function
        # AWS's bootstrap calls a wrapper with its interpreter and its own runtime.
        runtime = [layer("runtime") / "bootstrap-stream", python313(), "/var/runtime/bootstrap.py"] if streams else []
        return cls(code, packages, environment, memory_mb=memory_mb, timeout_s=timeout_s, runtime=runtime)

    def __enter__(self) -> Emulator:
        self.scratch = Path(tempfile.mkdtemp(prefix="hearth-emulator-"))
        """Stands for the function's /tmp; outlives kills of the runtime, as there."""
        self._output = self.scratch.with_suffix(".log").open("w+b")
        self.port, runtime_port = free_port(), free_port()
        self.process = subprocess.Popen(
            [
                *(emulator_binary(), "--log-level", "info"),
                *("--runtime-interface-emulator-address", f"127.0.0.1:{self.port}"),
                *("--runtime-api-address", f"127.0.0.1:{runtime_port}"),
                *self.runtime,
            ],
            cwd=self.code,
            env={"HOME": str(self.scratch), "TMPDIR": str(self.scratch)} | self.environment,
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        # The whole session: the runtime is a child of the emulator. Its memory takes processor time to be given back,
        # which is not to be taken from what is measured next.
        runtimes = [os.pidfd_open(pid) for pid in self._children()]
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for runtime in runtimes:
            select.select([runtime], [], [])
            os.close(runtime)
        self._output.close()
        shutil.rmtree(self.scratch)
        self.scratch.with_suffix(".log").unlink()

    @property
    def log(self) -> str:
        return self.scratch.with_suffix(".log").read_text(errors="replace")

    def runtime_pid(self) -> int:
        """The process id of the Python runtime, a child of the emulator."""
        return self._children()[0]

    def _children(self) -> list[int]:
        tasks = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        return [int(pid) for task in tasks for pid in task.read_text().split()]

    def _wait(self) -> None:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.005)
        raise TimeoutError(f"the emulator did not start:\n{self.log}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
