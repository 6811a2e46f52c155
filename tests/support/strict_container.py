"""One function in a container with Lambda's limits: read-only root, user, `/tmp`, memory, processor."""

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
from tests.support.emulator import Environment, free_port, lambda_variables
from tests.support.layers import FUNCTIONS, ROOT, TOOLS, layer
from tests.template.stack import read

USER = "993:990"
"""User and group id of Lambda's sbx_user1051."""
MEGABYTES_OF_A_PROCESSOR = 1769
SECONDS = 60
"""Timeout of a function in seconds, on a machine that is busy with other tests."""


@contextmanager
def merged_layers(*names: str) -> Iterator[Path]:
    """Yield a folder with the content of /opt of a function that has these layers."""
    with tempfile.TemporaryDirectory(prefix="opt-", dir=TOOLS) as scratch:
        folder = Path(scratch)
        folder.chmod(0o755)
        for name in names:
            shutil.copytree(layer(name), folder, copy_function=os.link, dirs_exist_ok=True)
        yield folder


def variables() -> dict[str, str]:
    """Return the variables that the template sets for every function, except those that depend on its parameters."""
    declared = read()["Globals"]["Function"]["Environment"]["Variables"]
    return {name: value for name, value in declared.items() if isinstance(value, str)}


class Strict(Environment):
    """A running container; `strict` starts one."""

    def __init__(self, engine: Mapping[str, str], id: str, port: int) -> None:
        super().__init__()
        self.engine, self.id, self.port = dict(engine), id, port

    @property
    def log(self) -> str:
        result = subprocess.run(["docker", "logs", self.id], env=self.engine, capture_output=True, text=True)
        return result.stdout + result.stderr


@contextmanager
def strict(
    engine: Mapping[str, str],
    code: Path,
    environment: Mapping[str, str],
    *,
    memory_mb: int = MEGABYTES_OF_A_PROCESSOR,
    scratch_mb: int = 512,
) -> Iterator[Strict]:
    """Run `code`, with its layers if it is one of our functions. The first event is a cold start."""
    port = free_port()
    is_ours = code.parent == ROOT / "functions"
    container_variables = lambda_variables(memory_mb, SECONDS, code.name) | dict(environment)
    if not is_ours:
        container_variables["_HANDLER"] = "app.handler"
    with merged_layers(*FUNCTIONS[code.name] if is_ours else ()) as layers:
        command = [
            *("run", "--detach", "--read-only", "--user", USER, "--cap-drop", "ALL"),
            *("--security-opt", "no-new-privileges", "--tmpfs", f"/tmp:rw,size={scratch_mb}m,mode=1777"),
            # No swap; as many processors as Lambda gives for the memory.
            *("--memory", f"{memory_mb}m", "--memory-swap", f"{memory_mb}m"),
            *("--cpus", f"{memory_mb / MEGABYTES_OF_A_PROCESSOR:.2f}"),
            *("--publish", f"127.0.0.1:{port}:8080"),
            *("--volume", f"{code}:/var/task:ro", "--volume", f"{layers}:/opt:ro"),
            *(argument for name, value in container_variables.items() for argument in ("--env", f"{name}={value}")),
        ]
        id = docker(*command, IMAGE, environment=dict(engine)).strip()
        container = Strict(engine, id, port)
        try:
            _wait(container)
            yield container
        finally:
            docker("rm", "--force", "--volumes", id, environment=dict(engine))


def _wait(container: Strict) -> None:
    """Wait until the emulator listens; docker's proxy accepts connections before that."""
    deadline = time.monotonic() + 30
    while "exec '/var/runtime/bootstrap'" not in container.log:
        if time.monotonic() > deadline:
            raise TimeoutError(f"the emulator did not start:\n{container.log}")
        time.sleep(0.05)
