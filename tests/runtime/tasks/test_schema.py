"""Parts of responses that several tasks share."""

from __future__ import annotations

import json

import msgspec
import pytest

from hearth.tasks import schema
from hearth.tasks.schema import Box, Label
from tests.support.structs import mutable_structs


def test_their_fields_are_hugging_faces() -> None:
    assert json.loads(msgspec.json.encode(Label("cat", 0.5))) == {"label": "cat", "score": 0.5}
    assert json.loads(msgspec.json.encode(Box(1, 2, 3, 4))) == {"xmin": 1, "ymin": 2, "xmax": 3, "ymax": 4}


def test_they_are_not_changed() -> None:
    assert mutable_structs(schema) == set()
    with pytest.raises(AttributeError):
        Label("cat", 0.5).score = 1.0  # type: ignore[misc]
