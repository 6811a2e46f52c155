"""The heads of a manifest: each task's head is known by its name, and its numbers have their ranges."""

from __future__ import annotations

from typing import Any, get_args

import msgspec
import pytest

from hearth.models import heads
from hearth.task_table import TASKS


def parse(document: dict[str, Any]) -> heads.Head:
    return msgspec.convert(document, heads.Head)


def test_the_table_of_tasks_names_each_head() -> None:
    kinds = {kind.__struct_config__.tag for kind in get_args(heads.Head)}
    assert kinds == {name for row in TASKS.values() for name in row.heads if name}


def test_a_head_has_its_defaults() -> None:
    assert parse({"kind": "spans"}) == heads.Spans(stride=128, max_answer=15)
    pooling = parse({"kind": "pooling", "method": "cls", "normalise": True, "dimensions": 4})
    assert pooling == heads.Pooling("cls", normalise=True, dimensions=4)
    assert isinstance(pooling, heads.Pooling)
    assert pooling.prompts == {}
    detector = parse({"kind": "detector", "form": "boxes"})
    assert detector == heads.Detector("boxes", threshold=0.25, iou=0.5)


@pytest.mark.parametrize(
    "document",
    [
        {"kind": "spans", "stride": -1},
        {"kind": "mask"},
        {"kind": "detector", "form": "circles"},
        {"kind": "detector", "form": "boxes", "threshold": 1.1},
        {"kind": "ctc", "blank": 0, "chunk_seconds": 0.5},
        {"kind": "ctc", "blank": 0, "margin_seconds": 11},
        {"kind": "contrastive", "dimensions": 4, "tokenizer": "../t.json"},
        {"kind": "pooling", "method": "max", "normalise": True, "dimensions": 4},
        {"kind": "oracle"},
    ],
)
def test_a_wrong_head_is_refused(document: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        parse(document)
