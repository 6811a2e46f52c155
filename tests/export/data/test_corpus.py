from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hearth_build.data import corpus

USER, ASSISTANT = {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}
SYSTEM = {"role": "system", "content": "Be kind."}


@pytest.mark.parametrize(
    ("item", "messages"),
    [
        (
            {"instruction": "Translate", "input": "Hallo", "output": "Hello"},
            [{"role": "user", "content": "Translate\n\nHallo"}, ASSISTANT],
        ),
        ({"instruction": "Hi", "context": "", "response": "Hello", "category": "qa"}, [USER, ASSISTANT]),
        ({"system": "Be kind.", "prompt": "Hi", "completion": "Hello"}, [SYSTEM, USER, ASSISTANT]),
        (
            {
                "system": "Be kind.",
                "conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}],
            },
            [SYSTEM, USER, ASSISTANT],
        ),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}, ASSISTANT]}, [USER, ASSISTANT]),
    ],
)
def test_conversations_keep_all_that_is_said(item: dict[str, Any], messages: list[Any], tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps([item]))
    (example,) = corpus.read(tmp_path / "a.json")
    assert example.inputs == {"messages": messages}


def test_unicode_text_of_windows_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Größe", encoding="utf-16")
    assert corpus.read(tmp_path / "a.txt")[0].inputs == "Größe"


def test_messages_that_pandas_wrote_into_a_cell_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(f'messages\n"{[USER, ASSISTANT]}"\n')
    assert corpus.read(tmp_path / "a.csv")[0].inputs == {"messages": [USER, ASSISTANT]}
