"""Sketches of many processes and hours, added up."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from hearth.storage.open import open_store
from hearth_build.drift.windows import by_hour, merged


def test_hours_of_a_version_are_merged_and_other_files_left_out(tmp_path: Path) -> None:
    for path, count in {
        "m/1/2026-11-30T10/a.json": 1,
        "m/1/2026-11-30T11/a.json": 10,
        "m/1/2026-11-30T11/b.json": 100,
        "m/1/2026-11-30T12/a.json": 1000,
        "m/2/2026-11-30T11/a.json": 10000,
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(json.dumps({"requests": count, "counts": {"correct": [0, count]}}))
    (tmp_path / "m/1/2026-11-30T11/broken.json").write_text("{")
    (tmp_path / "m/1/notes.txt").write_text("x")
    store = open_store(tmp_path.as_uri())
    start, end = datetime(2026, 11, 30, 11, 30, tzinfo=UTC), datetime(2026, 11, 30, 12, tzinfo=UTC)
    assert merged(store, "m", "1", start, end).counts == {"correct": [0, 110]}
    hours = by_hour(store, "m", "1", datetime(2026, 11, 29, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC))
    assert {hour.hour: sketch.requests for hour, sketch in hours.items()} == {10: 1, 11: 110, 12: 1000}
    assert merged(store, "other", "1", start, end).requests == 0
