"""The commands of the documents, run as they stand in a clean copy of the checkout; the output below them is what came.

A block's marks say otherwise: `setup` is the installation that the tests themselves begin with, `aws` wants a stack and
`manual` inputs of the reader's own. Of all of them the options are checked.
"""

from __future__ import annotations

import itertools
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import typer

from hearth_build.cli.main import app
from tests.docs.pages import PAGES, Command, blocks, commands
from tests.support import ROOT

UNRUN = {"setup", "aws", "manual"}
SERVER = "127.0.0.1:8000"
RELATIVE, ABSOLUTE = 0.05, 0.02
"""By which a number may differ: kernels of other processors round otherwise."""
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e-?\d+)?")


def runnable(page: Path) -> list[Command]:
    shells = [block for block in blocks(page) if block.language == "console" and not UNRUN & set(block.marks)]
    return [command for block in shells for command in commands(block)]


def all_commands() -> list[str]:
    shells = [block for page in PAGES for block in blocks(page) if block.language == "console"]
    return sorted({command.line.removesuffix(" &") for block in shells for command in commands(block)})


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tracked files as a clone has them."""
    folder = tmp_path_factory.mktemp("checkout")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    for name in filter(None, listed.decode().split("\0")):
        if (ROOT / name).is_file() and not name.startswith("tests/"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    return folder


class Shell:
    """Runs a page's commands in `folder`; a server that a page starts listens on a port of its own."""

    def __init__(self, folder: Path, home: Path) -> None:
        self.folder = folder
        with socket.create_server(("127.0.0.1", 0)) as taken:
            self.port = taken.getsockname()[1]
        kept = {name: value for name, value in os.environ.items() if not name.startswith("HEARTH_")}
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self.environment = {**kept, "PATH": path, "HOME": str(home), "COLUMNS": "200", "NO_COLOR": "1"}
        self.home = home
        self.server: subprocess.Popen[bytes] | None = None

    def run(self, line: str) -> str:
        line = line.replace(SERVER, f"127.0.0.1:{self.port}").replace("/tmp/", f"{self.home}/")
        line = re.sub(r"^curl ", "curl --silent --show-error ", line)
        if line.endswith(" &"):
            self.start(line[:-2])
            return ""
        run = subprocess.run(
            ["bash", "-c", line], cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=120
        )
        assert run.returncode == 0, f"{line}\n{run.stdout}{run.stderr}"
        return run.stdout + run.stderr

    def start(self, line: str) -> None:
        command = [*shlex.split(line), "--port", str(self.port)]
        with (self.home / "server.log").open("wb") as log:
            self.server = subprocess.Popen(command, cwd=self.folder, env=self.environment, stdout=log, stderr=log)
        for _ in range(600):
            with suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/v2/health/live").close()
                return
            time.sleep(0.1)
        raise AssertionError((self.home / "server.log").read_text())

    def close(self) -> None:
        if self.server:
            self.server.terminate()
            self.server.wait()


@pytest.fixture
def shell(checkout: Path, tmp_path: Path) -> Iterator[Shell]:
    shell = Shell(checkout, tmp_path)
    yield shell
    shell.close()


def same(expected: str, actual: str) -> bool:
    """Whether `actual` is as the page says: … stands for anything, white space says nothing, numbers may differ a
    little."""
    parts = [re.sub(r"\s+", "", part) for part in expected.split("…")]
    pattern = ".*?".join(f"({_NUMBER.pattern})".join(map(re.escape, _NUMBER.split(part))) for part in parts)
    match = re.fullmatch(pattern, re.sub(r"\s+", "", actual), re.DOTALL)
    if match is None:
        return False
    numbers = [float(number) for part in parts for number in _NUMBER.findall(part)]
    return all(
        abs(number - float(other)) <= max(RELATIVE * abs(number), ABSOLUTE)
        for number, other in zip(numbers, match.groups(), strict=True)
    )


@pytest.mark.parametrize(
    ("expected", "actual", "result"),
    [
        ('{"a":1.00}', '{"a": 1.01}', True),
        ('{"a":1.00}', '{"a": 2}', False),
        ("[1,…]", "[1, 2, 3]", True),
        ("[1,…]", "[2, 3]", False),
        ("[-0.5]", "[-0.501]", True),
        ("a…z", "a b", False),
    ],
)
def test_outputs_are_compared(expected: str, actual: str, result: bool) -> None:
    assert same(expected, actual) is result


@pytest.mark.parametrize("page", [page for page in PAGES if runnable(page)], ids=lambda page: page.stem)
def test_commands_give_what_the_page_says(page: Path, shell: Shell) -> None:
    for command in runnable(page):
        output = shell.run(command.line)
        expected = command.output.replace("/tmp/", f"{shell.home}/")
        if expected.strip():
            assert same(expected, output), f"$ {command.line}\n{output}"


@pytest.mark.parametrize("line", [line for line in all_commands() if line.startswith("hearth ")])
def test_every_command_is_one_that_there_is(line: str) -> None:
    name, *arguments = itertools.takewhile(lambda word: word not in ("|", "&&", ">"), shlex.split(line)[1:])
    group: Any = typer.main.get_command(app)
    with group.make_context("hearth", ["--help"], resilient_parsing=True) as context:
        command = group.get_command(context, name)
    command.make_context(name, arguments)


def test_other_programs_are_the_ones_that_are_named() -> None:
    assert {shlex.split(line)[0] for line in all_commands()} <= {
        *(
            "hearth",
            "curl",
            "git",
            "cd",
            "python3",
            ".venv/bin/pip",
            "source",
            "sam",
            "aws",
            "docker",
            "kubectl",
            "torchrun",
        ),
        *("echo", "mkdir"),
    }
