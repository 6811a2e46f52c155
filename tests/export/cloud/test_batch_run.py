"""`hearth batch` over folders, and how it reads the results of a run on AWS."""

from __future__ import annotations

import json
import os
import tracemalloc
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hearth.async_inference.batch import BatchJob, FailedItem, Item
from hearth.storage.open import open_store
from hearth_build.cli.main import app
from hearth_build.cloud.batch_run import Counts, batch_results, run_locally
from hearth_functions.text_classification.app import TASKS


@pytest.fixture
def job(serving: Path, tmp_path: Path) -> BatchJob:
    """A job over forty texts, one of them not UTF-8."""
    source = open_store(f"file://{tmp_path}/in")
    for number in range(39):
        source.put(f"{number % 4}/é {number}.txt", b"i love this")
    source.put("broken.txt", b"\xff\xfe")
    return BatchJob(TASKS, "sentiment-en", source, open_store(f"file://{tmp_path}/out"), "run")


def test_a_folder_is_processed_once(job: BatchJob, tmp_path: Path) -> None:
    failures: list[FailedItem] = []
    assert run_locally(job, 4, failures.append, lambda counts: None) == Counts(39, 1)
    assert [(row.key, row.error_type) for row in failures] == [("broken.txt", "bad_request")]
    results = {path: (tmp_path / "out" / path).stat().st_mtime_ns for path in job.output.iter_paths()}
    assert len(results) == 39
    assert json.loads(job.output.get("run/1/é 1.txt.json"))["output"][0][0]["label"] == "positive"
    job.output.delete("run/1/é 1.txt.json")
    assert run_locally(job, 4, failures.append, lambda counts: None) == Counts(39, 1)
    second_results = {path: (tmp_path / "out" / path).stat().st_mtime_ns for path in job.output.iter_paths()}
    assert [path for path in results if second_results[path] != results[path]] == ["run/1/é 1.txt.json"]


def test_a_long_listing_needs_little_memory(serving: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    count = 3000
    for number in range(count):
        folder = tmp_path / "in" / f"{number % 20}"
        if number < 20:
            folder.mkdir(parents=True)
        os.close(os.open(folder / f"{'long' * 20}{number}.txt", os.O_CREAT))
    monkeypatch.setattr(BatchJob, "process", lambda self, item: None)
    job = BatchJob(
        TASKS, "sentiment-en", open_store(f"file://{tmp_path}/in"), open_store(f"file://{tmp_path}/out"), "run"
    )

    def peak(run: object) -> int:
        tracemalloc.start()
        try:
            assert run() == count  # type: ignore[operator]
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    streamed = peak(lambda: run_locally(job, 4, lambda row: None, lambda counts: None).succeeded)
    listed = peak(lambda: len(job.source.list()))
    assert streamed < 200_000, "bytes"
    assert listed > 400_000, "the control: a list of all paths needs more"


def test_the_command_writes_results_and_counts_failures(serving: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    command = ["batch", "sentiment-en", str(tmp_path / "in"), "--store", f"file://{serving}"]
    command += ["--output", str(tmp_path / "out")]
    empty = CliRunner().invoke(app, command)
    assert "no file" in str(empty.exception)
    (tmp_path / "in/a.txt").write_text("i love this")
    (tmp_path / "in/b.txt").write_bytes(b"\xff")
    result = CliRunner().invoke(app, [*command, "--tolerated", "50"])
    assert result.exit_code == 0, result.output
    assert "b.txt: bad_request" in result.output
    assert "1 succeeded, 1 failed" in result.output
    assert (tmp_path / "out/sentiment-en/a.txt.json").is_file()
    assert CliRunner().invoke(app, [*command, "--tolerated", "49"]).exit_code == 1
    nested = CliRunner().invoke(app, [*command[:-1], str(tmp_path / "in/out")])
    assert "below the inputs" in str(nested.exception)


def test_the_files_of_the_result_writer_are_read(tmp_path: Path) -> None:
    results = open_store(f"file://{tmp_path}")
    outputs = [{"done": 2, "failed": []}, {"done": 0, "failed": [{"key": "k", "error_type": "e", "error": "w"}]}]
    rows = [{"ExecutionArn": "a", "Status": "SUCCEEDED", "Output": json.dumps(output)} for output in outputs]
    results.put("batches/run/0b/manifest.json", b"{}")
    results.put("batches/run/0b/SUCCEEDED_0.json", json.dumps(rows[:1]).encode())
    results.put("batches/run/0b/SUCCEEDED_1.json", json.dumps(rows[1:]).encode())
    results.put("batches/run-2/0b/SUCCEEDED_0.json", json.dumps(rows).encode())
    failed = {"Status": "FAILED", "Error": "NothingDone", "Cause": "c", "Input": json.dumps({"Items": [{"Key": "z"}]})}
    results.put("batches/run/0b/FAILED_0.json", json.dumps([failed]).encode())
    outputs.append({"done": 0, "failed": [{"key": "z", "error_type": "NothingDone", "error": "c"}]})
    assert sorted(batch_results(results, "run"), key=str) == sorted(outputs, key=str)


def test_an_item_of_a_job_without_a_run_has_no_run_in_its_path() -> None:
    store = open_store("file:///nowhere")
    assert BatchJob(TASKS, "m", store, store, "").result_path(Item("a/b").key) == "a/b.json"
