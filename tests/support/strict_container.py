"""One function in a container as narrow as Lambda's: read-only root, its user, its `/tmp`, memory, processor."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.support.containers import IMAGE, docker
from tests.support.emulator import Environment, free_port, told
from tests.support.layers import FUNCTIONS, ROOT, TOOLS, layer
from tests.template.stack import read

USER = "993:990"
"""Lambda's sbx_user1051 and its group."""
MEGABYTES_OF_A_PROCESSOR = 1769
SECONDS = 60
"""A function's time on a machine that is busy with other tests."""


@contextmanager
def opt(*names: str) -> Iterator[Path]:
    """What is at /opt of a function that has these layers."""
    with tempfile.TemporaryDirectory(prefix="opt-", dir=TOOLS) as scratch:
        folder = Path(scratch)
        folder.chmod(0o755)
        for name in names:
            shutil.copytree(layer(name), folder, copy_function=os.link, dirs_exist_ok=True)
        yield folder


def variables() -> dict[str, str]:
    """What the template tells every function, but for what depends on its parameters."""
    declared = read()["Globals"]["Function"]["Environment"]["Variables"]
    return {name: value for name, value in declared.items() if isinstance(value, str)}


class Strict(Environment):
    """A running container; `with strict(...)` makes one."""

    def __init__(self, engine: Mapping[str, str], id: str, port: int) -> None:
        super().__init__()
        self.engine, self.id, self.port = dict(engine), id, port

    @property
    def log(self) -> str:
        done = subprocess.run(["docker", "logs", self.id], env=self.engine, capture_output=True, text=True)
        return done.stdout + done.stderr


@contextmanager
def strict(
    engine: Mapping[str, str],
    code: Path,
    environment: Mapping[str, str],
    *,
    memory_mb: int = MEGABYTES_OF_A_PROCESSOR,
    scratch_mb: int = 512,
) -> Iterator[Strict]:
    """`code`, with its layers if it is a function of ours. The first event is a cold start."""
    port = free_port()
    is_ours = code.parent == ROOT / "functions"
    variables = told(memory_mb, SECONDS, code.name) | dict(environment)
    if not is_ours:
        variables["_HANDLER"] = "app.handler"
    with opt(*FUNCTIONS[code.name] if is_ours else ()) as layers:
        command = [
            *("run", "--detach", "--read-only", "--user", USER, "--cap-drop", "ALL"),
            *("--security-opt", "no-new-privileges", "--tmpfs", f"/tmp:rw,size={scratch_mb}m,mode=1777"),
            # Without swap; as many processors as Lambda gives for the memory.
            *("--memory", f"{memory_mb}m", "--memory-swap", f"{memory_mb}m"),
            *("--cpus", f"{memory_mb / MEGABYTES_OF_A_PROCESSOR:.2f}"),
            *("--publish", f"127.0.0.1:{port}:8080"),
            *("--volume", f"{code}:/var/task:ro", "--volume", f"{layers}:/opt:ro"),
            *(part for name, value in variables.items() for part in ("--env", f"{name}={value}")),
        ]
        id = docker(*command, IMAGE, environment=dict(engine)).strip()
        container = Strict(engine, id, port)
        try:
            _wait(container)
            yield container
        finally:
            docker("rm", "--force", "--volumes", id, environment=dict(engine))


def _wait(container: Strict) -> None:
    """Until the emulator listens; docker's own proxy answers before."""
    deadline = time.monotonic() + 30
    while "exec '/var/runtime/bootstrap'" not in container.log:
        if time.monotonic() > deadline:
            raise TimeoutError(f"the emulator did not start:\n{container.log}")
        time.sleep(0.05)
