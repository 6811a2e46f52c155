from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from hearth.errors import NotFound
from hearth.models.registry import Registry
from hearth.storage.open import open_store
from hearth_build.cli import cost as module
from hearth_build.cli.cost import _golden_request, _request
from hearth_build.cli.main import app
from hearth_build.cloud.cost_model import Measurement
from hearth_build.cloud.parameters import DeployError


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["cost", *arguments])


def test_an_input_is_json_a_file_or_a_text(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"png")
    assert _request('{"inputs": 1}') == (b'{"inputs": 1}', "application/json")
    assert _request(str(tmp_path / "a.png")) == (b"png", "application/octet-stream")
    assert _request("a text") == (b'{"inputs": "a text"}', "application/json")


@pytest.mark.parametrize(
    ("inputs", "request_"),
    [
        ({"base64": base64.b64encode(b"png").decode()}, (b"png", "application/octet-stream")),
        ("a text", (b'{"inputs": "a text"}', "application/json")),
    ],
)
def test_the_first_golden_input_is_measured(inputs: Any, request_: tuple[bytes, str], tmp_path: Path) -> None:
    registry = Registry(open_store(tmp_path.as_uri()))
    with pytest.raises(NotFound, match=r"no golden inputs. Pass an input with --input"):
        _golden_request(registry, "golden.json")
    (tmp_path / "golden.json").write_text(json.dumps({"cases": [{"inputs": inputs}, {"inputs": "other"}]}))
    assert _golden_request(registry, "golden.json") == request_


def test_each_size_is_measured_several_times(monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[int] = []

    def measure(event: Any, function: str, store: str, processors: int, calls: int) -> Measurement:
        assert (function, calls) == ("text_classification", 50)
        measured.append(processors)
        return Measurement(cold_ms=900.0, warm_ms=20.0, cpu_ms=20.0, peak_mb=200.0)

    monkeypatch.setattr(module, "measure", measure)
    monkeypatch.setattr(module, "processors_to_measure", lambda: [1, 2])
    result = run("sentiment-en", "--processes", "2", "--input", "fine", "--json")
    assert result.exit_code == 0, (result.output, result.exception)
    assert measured == [1, 2, 1, 2]
    assert json.loads(result.stdout)["model"] == "sentiment-en"
    assert "No size handles a call within 1 ms" in run("sentiment-en", "--latency", "1").output


def test_an_idle_stack_is_priced_without_a_model() -> None:
    assert "|" in run("--stack").output
    assert isinstance(run("--stack", "--parameter", "Memory=1").exception, DeployError)
    assert run().exit_code == 2
