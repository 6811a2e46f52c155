from __future__ import annotations

import os
from pathlib import Path

import pytest

from hearth_build.cloud import check_machine as machine_module
from hearth_build.cloud.check_machine import check_machine, check_processor
from hearth_build.cloud.finding import Finding, Level


def problems(findings: list[Finding]) -> list[str]:
    return [finding.text for finding in findings if finding.level is Level.PROBLEM]


def test_each_problem_of_a_machine_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert problems(list(check_machine())) == []
    monkeypatch.setenv("HEARTH_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(machine_module, "MIN_DISK_BYTES", 2**60)
    monkeypatch.setattr(machine_module, "MIN_MEMORY_BYTES", 2**60)
    monkeypatch.setattr(machine_module, "PROBE", "import onnxruntime_of_another_world")
    sentences = problems(list(check_machine()))
    assert [sentence for sentence in sentences if f"{tmp_path} has " in sentence and "MB free" in sentence]
    assert [sentence for sentence in sentences if "MB of memory" in sentence]
    assert [
        sentence for sentence in sentences if sentence.startswith("ONNX Runtime cannot be imported: ModuleNotFound")
    ]
    monkeypatch.setattr(machine_module, "PROBE", "import os; os.kill(os.getpid(), 4)")
    assert [sentence for sentence in problems(list(check_machine())) if "the process ended with -4" in sentence]
    monkeypatch.setenv("HEARTH_THREADS", "many")
    assert [sentence for sentence in problems(list(check_machine())) if "HEARTH_THREADS must be a number" in sentence]


def test_a_processor_without_avx2_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    (tmp_path / "cpuinfo").write_text("processor : 0\nflags : fpu sse4_2 avx\n")
    assert "no AVX2" in check_processor(tmp_path / "cpuinfo").text
    (tmp_path / "cpuinfo").write_text("processor : 0\nflags : fpu avx avx2\n")
    assert check_processor(tmp_path / "cpuinfo").level is Level.OK
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    assert check_processor(tmp_path / "cpuinfo").level is Level.NOTE


def test_a_tool_needed_only_to_deploy_is_a_note(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    notes = [finding.text for finding in check_machine() if finding.level is Level.NOTE]
    assert [text for text in notes if text.startswith("sam is not on PATH")]
    assert problems(list(check_machine())) == []


def test_a_pyenv_shim_that_fails_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shim = tmp_path / "python3.13"
    shim.write_text("#!/bin/sh\nexit 127\n")
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert f"{shim} does not run; `sam build` builds the layers with it." in [
        finding.text for finding in check_machine()
    ]
