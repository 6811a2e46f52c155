"""A sample of the faults in `tests.faults`: each failure is reported, and the next call succeeds."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults import disks, networks, nth, stores, surroundings
from tests.faults.lab import Lab, start_lab
from tests.faults.table import observe
from tests.support.artifacts import make_text_artifact

# A connection in a reference cycle of an exception's frames is collected in any order, perhaps its socket first.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
CASES = {case.name: case for case in nth.CASES}


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with start_lab(with_pauses=False) as started:
        yield started
    gc.collect()  # collect those connections while their warnings are ignored


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        *((name, "403") for name in ("text", "catalog", "SQS, last delivery", "SQS, poison", "uploads: a ticket")),
        ("storage event", "reset"),
        ("storage event", "503 for ever"),
        ("uploads: a removal", "reset"),
        ("a batch of three", "403"),
        ("a call by reference", "503 for ever"),
    ],
)
def test_the_nth_call_fails(lab: Lab, name: str, fault: str) -> None:
    outcome = nth.run(lab, CASES[name], fault)
    assert outcome.calls == outcome.outcomes.total() > 0


SAMPLE = {
    (disks, "the disk is full"),
    (disks, "a bit of a cached file flipped"),
    (disks, "a file in place of the folder"),
    (networks, "reset, for ever"),
    (networks, "answer cut, once"),
    (networks, "a bit flipped, for ever"),
    (networks, "throttled (429), twice"),
    (networks, "nothing listens"),
    (stores, "403 AccessDenied"),
    (stores, "KMS throttles, once"),
    (stores, "not JSON"),
    (stores, "unsigned although keys are set"),
    (stores, "403 of the dead-letter queue"),
    (surroundings, "`nan`"),
    (surroundings, "`big`"),
    (surroundings, "the deadline, in a download"),
}
"""Rows of the table in docs/testing/results.md that run in this test."""


@pytest.mark.parametrize("group", [disks, networks, stores, surroundings], ids=lambda group: group.__name__[13:])
def test_a_fault_is_reported_and_the_next_request_succeeds(lab: Lab, group: Any) -> None:
    pending = {name for module, name in SAMPLE if module is group}
    for row in group.rows(lab):
        if row.fault in pending:
            observed = observe(lab, row)
            assert observed.is_expected, (row.fault, observed.outcome, observed.next_outcome)
            pending.remove(row.fault)
    assert not pending


LOADING = """
import resource, sys
from pathlib import Path
from typing import Any
import numpy, onnxruntime, tokenizers
from hearth.errors import HearthError
from hearth.models.manifest import parse
from hearth.models.model import Model

folder = Path(sys.argv[1])
size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + 48 * 1024 * 1024,) * 2)
try:
    Model(parse((folder / "manifest.json").read_bytes()), folder, 1)
except HearthError as error:
    print(error.code, error.message)
"""


def test_too_little_memory_for_a_model_is_not_reported_as_damage(tmp_path: Path) -> None:
    artifact = make_text_artifact(tmp_path, "big", rows=8 * 1024 * 1024)
    process = subprocess.run([sys.executable, "-c", LOADING, artifact], capture_output=True, text=True, timeout=60)
    assert process.stdout == "unavailable model.onnx needs more memory than is available; give the function more\n", (
        process
    )
