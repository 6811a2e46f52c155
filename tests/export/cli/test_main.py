"""The `hearth` command as a user runs it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.support.emulator import free_port
from tests.support.servers import take_interrupts


def hearth(*arguments: str, cwd: Path, stdin: bytes = b"", **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {name: value for name, value in os.environ.items() if not name.startswith("HEARTH_")}
    variables |= {"PYTHONPATH": os.pathsep.join(sys.path), "COLUMNS": "200", **environment}
    command = [sys.executable, "-m", "hearth_build.cli.main", *arguments]
    result = subprocess.run(command, cwd=cwd, env=variables, capture_output=True, input=stdin, timeout=300)
    return subprocess.CompletedProcess(command, result.returncode, result.stdout.decode(), result.stderr.decode())


def test_an_error_is_one_sentence_and_a_status(tmp_path: Path) -> None:
    store = ("--store", tmp_path.as_uri())
    for arguments, message in (
        (("build", "nothing"), "There is no recipe 'nothing'"),
        (("build", "sentiment-en"), "HEARTH_DATA is not set"),
        (("publish", str(tmp_path), *store), "no manifest.json"),
        (("alias", "toy", "prod", "9", *store), "no version 9"),
        (("predict", "toy", "text", *store), "no model toy"),
    ):
        result = hearth(*arguments, cwd=tmp_path)
        assert result.returncode == 1, arguments
        assert message in result.stderr
        assert "Traceback" not in result.stderr


def test_serve_prints_its_models_answers_and_ends(store_folder: Path, tmp_path: Path) -> None:
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "hearth_build.cli.main",
        "serve",
        "--store",
        store_folder.as_uri(),
        "--port",
        str(port),
    ]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "HEARTH_CACHE_DIR": str(tmp_path / "cache")}
    with subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=take_interrupts,
    ) as server:
        assert server.stdout is not None
        assert server.stdout.readline().startswith("Serving 2 models from file://")
        assert f"http://127.0.0.1:{port}/docs" in server.stdout.readline()
        address = f"http://127.0.0.1:{port}/models/sentiment-en"
        body = b""
        for _ in range(200):
            try:
                with urllib.request.urlopen(address, b'{"inputs": "good"}') as response:
                    body = response.read()
                break
            except urllib.error.URLError:
                time.sleep(0.05)
        server.send_signal(signal.SIGINT)
        _, errors = server.communicate(timeout=30)
    assert b"positive" in body
    assert "Traceback" not in errors
    assert server.returncode == 130


HEAVY = {"torch", "onnx", "onnxruntime", "transformers", "fastapi", "numpy", "PIL", "rich", "boto3", "yaml", "uvicorn"}


@pytest.mark.parametrize("arguments", [["--version"], ["models"], ["audit", "audit.log"]], ids=" ".join)
def test_a_command_that_only_reads_starts_without_heavy_imports(arguments: list[str], tmp_path: Path) -> None:
    (tmp_path / "audit.log").write_text('{"level": "INFO"}\n')
    code = (
        f"import sys; from hearth_build.cli.main import main; sys.argv = ['hearth', *{arguments}]\n"
        f"try:\n    main()\nfinally:\n    print('imported:', sorted({HEAVY} & sys.modules.keys()))"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
    assert result.stdout.splitlines()[-1] == "imported: []", result.stdout + result.stderr


def test_a_misspelt_command_or_option_gets_a_suggestion(tmp_path: Path) -> None:
    for arguments, suggestion in (
        (("modles",), "Did you mean models?"),
        (("models", "--tsk", "x"), "Possible options: --task"),
        (("build", "sentiment-eng"), "Did you mean sentiment-en?"),
    ):
        result = hearth(*arguments, cwd=tmp_path)
        assert result.returncode in (1, 2)
        assert suggestion in result.stderr


def test_completion_knows_the_commands(tmp_path: Path) -> None:
    result = hearth(cwd=tmp_path, _HEARTH_COMPLETE="complete_bash", COMP_WORDS="hearth mod", COMP_CWORD="1")
    assert "models" in result.stdout.split(), result.stderr
