"""Every model of the zoo reproduces its golden outputs, and a wrong golden output is noticed."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import hearth_functions.app
from hearth import settings
from hearth.models.cache import warm_cache
from hearth.storage.open import open_store
from hearth.tasks import golden
from hearth.tasks.task import Task
from hearth_build import ZOO
from hearth_build.release.served import manifest_of, tasks_of

MODELS = sorted(path.name for path in ZOO.iterdir() if path.is_dir())


@pytest.fixture(autouse=True)
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("HEARTH_STORE", ZOO.as_uri())
    monkeypatch.setenv("HEARTH_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("HEARTH_MODELS", raising=False)
    settings.get.cache_clear()
    warm_cache.cache_clear()
    yield
    settings.get.cache_clear()
    warm_cache.cache_clear()


def tasks(model: str) -> Sequence[Task]:
    return tasks_of(manifest_of(open_store(ZOO.as_uri()), model).task)


@pytest.mark.parametrize("model", MODELS)
def test_a_model_of_the_zoo_gives_its_golden_outputs(model: str) -> None:
    report = golden.check(tasks(model), [model])
    assert report == {"golden": {model: next((ZOO / model).glob("*/")).name}, "passed": True}


def copy_with_wrong_golden(store: Path, model: str, *, honest: bool) -> None:
    """Copy `model` of the zoo to `store` with wrong golden outputs; an `honest` manifest has their checksum."""
    shutil.copytree(ZOO / model, store / model)
    file = next((store / model).glob("*/golden.json"))
    document = json.loads(file.read_text(encoding="utf-8"))
    if model == "yolo-cells":
        document["cases"][1]["answer"]["boxes"] *= 2  # twice as many cells
    else:
        document["cases"][2]["answer"] = {label: 1 - score for label, score in document["cases"][2]["answer"].items()}
    content = json.dumps(document).encode()
    file.write_bytes(content)
    if honest:
        manifest = json.loads(file.with_name("manifest.json").read_text(encoding="utf-8"))
        entry = next(entry for entry in manifest["files"] if entry["path"] == "golden.json")
        entry |= {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
        file.with_name("manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


def check_of(
    store: Path, models: list[str], monkeypatch: pytest.MonkeyPatch, task: str = "text-classification"
) -> dict[str, Any]:
    monkeypatch.setenv("HEARTH_STORE", store.as_uri())
    settings.get.cache_clear()
    warm_cache.cache_clear()
    return golden.check(tasks_of(task), models)


def test_a_wrong_golden_output_fails_the_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy_with_wrong_golden(tmp_path / "store", "sentiment-en", honest=True)
    report = check_of(tmp_path / "store", ["sentiment-en"], monkeypatch)
    assert not report["passed"]
    assert "golden answer 2 of version 1 differs by 0.9" in report["golden"]["sentiment-en"]


def test_a_golden_file_that_differs_from_the_manifest_fails_the_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy_with_wrong_golden(tmp_path / "store", "sentiment-en", honest=False)
    report = check_of(tmp_path / "store", ["sentiment-en"], monkeypatch)
    assert not report["passed"]
    assert report["golden"]["sentiment-en"].startswith("integrity_error")


@pytest.mark.parametrize("task", ["object-detection", "object-tracking"])
def test_a_tracker_is_checked_by_its_detectors_outputs(
    task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = check_of(ZOO, ["yolo-cells"], monkeypatch, task)
    assert report == {"golden": {"yolo-cells": "1"}, "passed": True}
    copy_with_wrong_golden(tmp_path / "store", "yolo-cells", honest=True)
    report = check_of(tmp_path / "store", ["yolo-cells"], monkeypatch, task)
    assert not report["passed"]
    assert "golden answer 1 of version 1 differs" in report["golden"]["yolo-cells"]


def test_a_model_that_the_function_cannot_serve_fails_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    report = check_of(ZOO, ["resnet20-cifar10"], monkeypatch)
    assert not report["passed"]
    assert "is not served by this function" in report["golden"]["resnet20-cifar10"]


def test_an_unpublished_model_does_not_fail_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    report = check_of(ZOO, ["sentiment-en", "not-there"], monkeypatch)
    assert report["passed"]
    assert report["golden"]["not-there"].startswith("not_found")


def test_a_function_of_every_task_checks_the_smallest_model_of_each(monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[str] = []
    monkeypatch.setattr(golden, "_replay", lambda tasks, name: (checked.append(name) or "1", True))
    report = golden.check(hearth_functions.app.TASKS)
    models = {manifest_of(open_store(ZOO.as_uri()), name).task: name for name in checked}
    assert len(models) == len(checked) == len({task for task, _ in _zoo_tasks()}), report
    for task, name in models.items():
        assert dict(_zoo_sizes(task))[name] == min(size for _, size in _zoo_sizes(task))
    assert golden.check(()) == {"golden": {}, "passed": True}


def _zoo_tasks() -> list[tuple[str, str]]:
    return [(manifest_of(open_store(ZOO.as_uri()), name).task, name) for name in MODELS]


def _zoo_sizes(task: str) -> list[tuple[str, int]]:
    return [(name, manifest_of(open_store(ZOO.as_uri()), name).size) for other, name in _zoo_tasks() if other == task]


def test_a_damaged_store_fails_the_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(ZOO / "sentiment-en", tmp_path / "sentiment-en")
    next(tmp_path.glob("sentiment-en/*/model.bin")).write_bytes(b"torn")
    assert not check_of(tmp_path, ["sentiment-en"], monkeypatch)["passed"]


def test_bytes_of_an_input_are_decoded_alone_and_as_a_field() -> None:
    encoded = {"base64": "AAE="}
    assert golden.decode_input(encoded) == b"\0\1"
    assert golden.decode_input({"inputs": encoded, "candidate_labels": ["a"]}) == {
        "inputs": b"\0\1",
        "candidate_labels": ["a"],
    }
    tensor = {"x": {"base64": "AAE=", "shape": [2]}}
    assert golden.decode_input(tensor) == tensor  # of the task tensors, which decodes it itself
