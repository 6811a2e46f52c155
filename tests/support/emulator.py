"""Lambda on this machine without containers: the emulator's binary, the real runtime client, Python 3.13.

Code and layers are on the import path in AWS's order. Requests are sent one at a time, because two at once kill the
emulator. `log` holds everything that the function prints.
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

from tests.support import guardian
from tests.support.layers import FUNCTIONS, HANDLER, code_of, emulator_binary, layer, python313, runtime_client
from tests.support.s3 import CREDENTIALS


@dataclass(frozen=True)
class InvokeResponse:
    """The emulator's response to one event."""

    status: int
    raw: bytes

    @property
    def payload(self) -> dict[str, object]:
        """The return value of the handler."""
        return json.loads(self.raw)

    @property
    def body(self) -> dict[str, object]:
        """The JSON body of the HTTP response that the handler returned."""
        return json.loads(str(self.payload["body"]))


class Environment:
    """An execution environment behind the emulator on `port`; requests are sent one at a time."""

    port: int

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def invoke(self, event: object) -> InvokeResponse:
        """Send one event and wait for the response."""
        return self.post(json.dumps(event).encode())

    def post(self, raw: bytes) -> InvokeResponse:
        """Send the bytes of one event and wait for the response."""
        with self._lock:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
            try:
                connection.request("POST", "/2015-03-31/functions/function/invocations", raw)
                response = connection.getresponse()
                return InvokeResponse(response.status, response.read())
            finally:
                connection.close()

    @property
    def log(self) -> str:
        """Everything that the emulator and the function have printed so far."""
        raise NotImplementedError

    def records(self, message: str | None = None) -> list[dict[str, object]]:
        """Return the function's JSON log lines in order; only those with this `message` if it is given."""
        lines = [json.loads(line) for line in self.log.splitlines() if line.startswith("{")]
        return [record for record in lines if message is None or record.get("message") == message]


def lambda_variables(memory_mb: int, timeout_s: int, name: str) -> dict[str, str]:
    """Return the environment variables that Lambda sets."""
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
    """The execution environment of one function, as a context manager; its first event is a cold start."""

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
        self.runtime = [str(argument) for argument in runtime] or [str(python313()), "-m", "awslambdaric", HANDLER]
        self.environment = {
            **lambda_variables(memory_mb, timeout_s, code.name),
            "LAMBDA_TASK_ROOT": str(code),
            "ORT_DISABLE_TELEMETRY": "1",
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            # Layers are read-only on AWS.
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
        """Return the environment of one of our functions with its layers; with our own runtime if it `streams`."""
        packages = [layer(name) / "python" for name in FUNCTIONS[function]]
        code = code_of(function)
        # AWS's bootstrap calls a wrapper with its interpreter and its own runtime.
        runtime = [layer("runtime") / "bootstrap-stream", python313(), "/var/runtime/bootstrap.py"] if streams else []
        return cls(code, packages, environment, memory_mb=memory_mb, timeout_s=timeout_s, runtime=runtime)

    def __enter__(self) -> Emulator:
        self.scratch = Path(tempfile.mkdtemp(prefix="hearth-emulator-"))
        """The function's /tmp; it survives kills of the runtime, as on AWS."""
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
            env={"HOME": str(self.scratch), "TMPDIR": str(self.scratch)} | guardian.mark() | self.environment,
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # Kill the whole session, because the runtime is a child of the emulator. Wait for the runtime too: freeing its
        # memory takes processor time, which would distort the next measurement.
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
        """Return the process id of the Python runtime, a child of the emulator."""
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
