"""A process is prepared before anything is imported, and a function's models are fetched during its imports."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hearth import bootstrap


def run(code: str, *, path: Path | None = None, **environment: str) -> list[str]:
    """Run code in a fresh interpreter; return the words that it prints."""
    paths = os.pathsep.join(filter(None, [str(path or ""), *sys.path]))
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OPENBLAS", "TOKENIZERS", "ORT"))}
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, env=kept | {"PYTHONPATH": paths} | environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout.split()


PRINT = "print(*(os.environ[n] for n in ('ORT_DISABLE_TELEMETRY', 'TOKENIZERS_PARALLELISM', 'OPENBLAS_NUM_THREADS')))"
PREPARE = f"import os; from hearth.bootstrap import prepare_process; prepare_process(); {PRINT}"


def test_libraries_are_configured_unless_the_operator_did() -> None:
    assert run(PREPARE) == ["1", "false", "1"]
    chosen = {"ORT_DISABLE_TELEMETRY": "0", "TOKENIZERS_PARALLELISM": "true", "OPENBLAS_NUM_THREADS": "4"}
    assert run(PREPARE, **chosen) == ["1", "true", "4"]


def test_msgspec_is_imported_without_typing_extensions() -> None:
    code = "import sys; from hearth.bootstrap import prepare_process; prepare_process(); "
    code += "print('msgspec' in sys.modules, 'typing_extensions' in sys.modules); import typing_extensions"
    assert run(code) == ["True", "False"]


def test_what_is_imported_already_is_left_alone() -> None:
    assert run("import sys, msgspec; from hearth.bootstrap import skip_typing_extensions as skip; skip(); print('ok')")
    code = "import sys, typing_extensions as t; from hearth.bootstrap import skip_typing_extensions as skip; skip(); "
    assert run(code + "print(sys.modules['typing_extensions'] is t)") == ["True"]


@pytest.mark.parametrize("on_lambda", [False, True])
@pytest.mark.parametrize("models", ["", "sentiment-en"])
def test_models_are_fetched_during_the_imports_of_a_function(
    tmp_path: Path, store_folder: Path, on_lambda: bool, models: str
) -> None:
    (tmp_path / "app.py").write_text("import sys, gc\nhandler = [sys.getswitchinterval(), gc.isenabled()]\n")
    code = "import gc, sys, threading, json; from hearth.bootstrap import load_function\n"
    code += "before = sys.getswitchinterval(); during = load_function('app')\n"
    code += "threads = [thread for thread in threading.enumerate() if thread.name == 'hearth-fetch']\n"
    code += "fetches = 'hearth.models.preload' in sys.modules\n"
    code += "for thread in threads: thread.join()\n"
    code += "print(json.dumps([during, fetches, sys.getswitchinterval() == before, gc.isenabled()]))"
    environment = {"HEARTH_STORE": store_folder.as_uri(), "HEARTH_CACHE_DIR": str(tmp_path / "cache")}
    environment |= {"HEARTH_MODELS": models} | ({"AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9"} if on_lambda else {})
    (interval, collects), fetches, *after = json.loads(" ".join(run(code, path=tmp_path, **environment)))
    fetching = on_lambda and bool(models)
    assert fetches is fetching
    assert (interval == pytest.approx(bootstrap.SWITCH_SECONDS), collects) == (on_lambda, not on_lambda)
    assert after == [True, True]
    assert [path.name.partition("-")[0] for path in (tmp_path / "cache").glob("*")] == ["sentiment"] * fetching


def test_an_error_of_the_import_is_raised_and_collection_goes_on(tmp_path: Path) -> None:
    code = "import gc\nfrom hearth.bootstrap import _yield_to_download_thread as block\n"
    code += "try:\n    with block(): raise ImportError\nexcept ImportError: print(gc.isenabled(), gc.get_freeze_count() > 0)"  # noqa: E501
    assert run(code) == ["True", "True"]
