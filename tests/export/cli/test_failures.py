"""Whatever goes wrong, the command ends with a sentence and a status, without a traceback and without error numbers."""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import sys
import urllib.error
from pathlib import Path

import pytest

from hearth.errors import NotFound
from hearth_build import ZOO
from hearth_build.cli import main as cli
from hearth_build.cli.failures import describe
from tests.support.servers import take_interrupts

RAW = re.compile(r"Traceback|Errno|errno|Error\(|exception", re.IGNORECASE)
MISSING_STORE = "file:///no/such/store"
STORE = ("--store", MISSING_STORE)
KEYS = ("--keys", "keys")
TO_A_MISSING_STORE = {
    "serve": [*STORE, "--port", "0"],
    "models": STORE,
    "predict": ["sentiment-en", "good", *STORE],
    "explain": ["sentiment-en", "good", *STORE],
    "evaluate": ["sentiment-en", "--data", "data.tsv", *STORE],
    "batch": ["sentiment-en", "folder", *STORE],
    "alias": ["sentiment-en", "prod", "1", *STORE],
    "cost": ["sentiment-en", *STORE],
    "sign": ["sentiment-en", "--key", "key.pem", *STORE],
    "verify": ["sentiment-en", *KEYS, *STORE],
}
WITH_A_MISSING_FILE = {
    "predict": ["sentiment-en", "nowhere.txt"],
    "explain": ["sentiment-en", "nowhere.txt"],
    "evaluate": ["sentiment-en", "--data", "nowhere.tsv"],
    "batch": ["sentiment-en", "nowhere"],
    "train": ["text-classification", "--data", "nowhere.csv", "--name", "mine"],
    "import": ["./nowhere", "--name", "mine"],
    "build": ["nowhere"],
    "publish": ["nowhere", "--store", "file:///tmp/store"],
    "template": ["nowhere.toml"],
    "audit": ["nowhere.log"],
    "verify": ["sentiment-en", "--keys", "nowhere", "--store", ZOO.as_uri()],
    "cost": ["sentiment-en", "--prices", "nowhere.toml"],
}
WITH_A_FOLDER = {
    "predict": ["sentiment-en", "folder/"],
    "evaluate": ["sentiment-en", "--data", "folder"],
    "train": ["text-classification", "--data", "folder", "--name", "mine"],
    "import": ["folder", "--name", "mine"],
    "publish": ["folder", "--store", "file:///tmp/store"],
    "template": ["folder"],
    "audit": ["folder"],
    "cost": ["sentiment-en", "--prices", "folder"],
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "data.tsv").write_text("good\t1\n")
    return tmp_path


def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """The status, the output and the errors of `hearth ARGUMENTS`, in this process."""
    from hearth import settings
    from hearth.models.cache import warm_cache

    monkeypatch.setattr(sys, "argv", ["hearth", *arguments])
    monkeypatch.setenv("HEARTH_STORE", ZOO.as_uri())
    settings.get.cache_clear()
    warm_cache.cache_clear()
    try:
        with pytest.raises(SystemExit) as ended:
            cli.main()
    finally:
        settings.get.cache_clear()
        warm_cache.cache_clear()
    code, printed = ended.value.code, capsys.readouterr()
    assert code is None or isinstance(code, int)
    return code or 0, printed.out, printed.err


def cases() -> list[tuple[str, ...]]:
    tables = (TO_A_MISSING_STORE, WITH_A_MISSING_FILE, WITH_A_FOLDER)
    return [(command, *arguments) for table in tables for command, arguments in table.items()]


@pytest.mark.parametrize("arguments", cases(), ids=" ".join)
def test_a_failure_is_a_sentence(
    arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status, output, error = run(monkeypatch, capsys, *arguments)
    assert status in (1, 2), error
    assert not RAW.search(output + error)
    assert "rror" in error


def test_a_fault_of_hearth_has_a_status_of_its_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        raise KeyError("surprise")

    monkeypatch.setattr("hearth_build.release.versions.list_versions", broken)
    status, _, error = run(monkeypatch, capsys, "models")
    assert status == 70
    assert "KeyError: 'surprise'. This is a fault of Hearth" in error.replace("\n", " ")
    monkeypatch.setenv("HEARTH_TRACEBACK", "1")
    with pytest.raises(KeyError):
        cli.main()


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (NotFound("There is no model x."), "There is no model x."),
        (FileNotFoundError(errno.ENOENT, "No such file", "dat.tsv"), "dat.tsv does not exist. Did you mean data.tsv?"),
        (FileNotFoundError(errno.ENOENT, "No such file", "foldr/x"), "foldr does not exist. Did you mean folder?"),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), "/x may not be read or written by this user"),
        (IsADirectoryError(errno.EISDIR, "Is a directory", "/x"), "/x is a folder; a file is needed."),
        (NotADirectoryError(errno.ENOTDIR, "Not a directory", "/x/y"), "a folder is needed."),
        (OSError(errno.ENOSPC, "No space left on device", "/x"), "/x: No space left on device."),
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), "Connection refused."),
        (
            urllib.error.URLError(ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")),
            "Connection refused.",
        ),
        (FileExistsError("x.pem exists. Choose a new file."), "x.pem exists. Choose a new file."),
        (ModuleNotFoundError("No module named 'torch'", name="torch"), "torch is not installed."),
    ],
)
def test_expected_errors_are_sentences(error: Exception, sentence: str) -> None:
    described = describe(error)
    assert described is not None
    assert sentence in described
    assert not RAW.search(described)


def test_an_interrupt_is_status_130(folder: Path) -> None:
    command = [sys.executable, "-m", "hearth_build.cli.main", "predict", "sentiment-en", "-"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=take_interrupts,
    ) as running:
        waiting = Path(f"/proc/{running.pid}/fd")
        if not waiting.exists():
            pytest.skip("needs /proc to see when the command reads its input")
        while not _reads_input(running.pid):
            assert running.poll() is None
        running.send_signal(signal.SIGINT)
        assert running.stderr is not None
        error = running.stderr.read()
    assert running.returncode == 130, error
    assert not RAW.search(error)


def _reads_input(pid: int) -> bool:
    """Whether the process waits in a read of its standard input: system call 0 on x86-64, 63 on arm64."""
    call = Path(f"/proc/{pid}/syscall").read_text().split()
    return call[:2] in (["0", "0x0"], ["63", "0x0"])


def test_a_reader_that_ends_early_is_no_error(folder: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "hearth_build.cli.main", "models", "--json"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    result = subprocess.run(command, env=environment, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=300)
    os.close(writing)
    assert result.stderr == ""
    assert result.returncode == 1
