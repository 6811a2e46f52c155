"""A few of the faults that `tests.faults` makes in full: what fails is said, and the next call is fine."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults import disks, networks, nth, stores, surroundings
from tests.faults.lab import Lab, lab
from tests.faults.table import observe
from tests.support.artifacts import make_text_artifact

# A connection that an exception's frames keep in a cycle is collected in whatever order, its socket perhaps first.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
CASES = {case.name: case for case in nth.CASES}


@pytest.fixture(scope="module")
def place() -> Iterator[Lab]:
    with lab(patient=False) as built:
        yield built
    gc.collect()  # those connections, as long as their warnings are not heard


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
def test_the_nth_call_fails(place: Lab, name: str, fault: str) -> None:
    outcome = nth.run(place, CASES[name], fault)
    assert outcome.calls == outcome.ends.total() > 0


ROWS = {
    (disks, "the disk is full"),
    (disks, "a bit of a cached file flipped"),
    (disks, "a file in the place of the folder"),
    (networks, "reset, for ever"),
    (networks, "answer cut, once"),
    (networks, "a bit flipped, for ever"),
    (networks, "throttled (429), twice"),
    (networks, "nobody listens"),
    (stores, "403 AccessDenied"),
    (stores, "KMS throttles, once"),
    (stores, "no JSON"),
    (stores, "not signed, where keys are set"),
    (stores, "403 of the dead-letter queue"),
    (surroundings, "`nan`"),
    (surroundings, "`big`"),
    (surroundings, "the deadline, in a fetch"),
}
"""Of the table in docs/testing/results.md."""


@pytest.mark.parametrize("group", [disks, networks, stores, surroundings], ids=lambda group: group.__name__[13:])
def test_a_fault_is_said_and_the_next_request_is_fine(place: Lab, group: Any) -> None:
    asked = {name for module, name in ROWS if module is group}
    for row in group.rows(place):
        if row.fault in asked:
            found = observe(place, row)
            assert found.fine, (row.fault, found.what, found.next)
            asked.remove(row.fault)
    assert not asked


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


def test_a_model_for_which_there_is_too_little_memory_is_not_called_damaged(tmp_path: Path) -> None:
    artifact = make_text_artifact(tmp_path, "big", rows=8 * 1024 * 1024)
    done = subprocess.run([sys.executable, "-c", LOADING, artifact], capture_output=True, text=True, timeout=60)
    assert done.stdout == "unavailable model.onnx needs more memory than is available; give the function more\n", done
