"""`hearth chat`: answers are printed as they are generated, commands change the conversation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from hearth.errors import TextTooLong
from hearth_build.cli.chat import Conversation
from hearth_functions.text_generation.app import Request
from tests.export.cli.test_main import hearth


class Piece(msgspec.Struct):
    text: str


class FakeTask:
    """Answers with the number of its messages, as two pieces; remembers the requests."""

    request = Request

    def __init__(self) -> None:
        self.requests: list[Any] = []

    def generate(self, model: Any, request: Any) -> Any:
        self.requests.append(request)
        if any(message.content == "stop" for message in request.messages):
            yield Piece("half")
            raise KeyboardInterrupt
        if any(message.content == "long" for message in request.messages):
            raise TextTooLong("The conversation is too long")
        yield from (Piece("answer "), Piece(str(len(request.messages))))

    def contents(self) -> list[tuple[str, str]]:
        return [(message.role, message.content) for message in self.requests[-1].messages]


@pytest.fixture
def conversation() -> Conversation:
    return Conversation(FakeTask(), None, {"max_new_tokens": 5, "seed": None}, "Be kind.")  # type: ignore[arg-type]


def test_messages_and_answers_are_remembered(conversation: Conversation, capsys: pytest.CaptureFixture[str]) -> None:
    assert conversation.enter("  hello \n")
    assert conversation.enter("again")
    assert capsys.readouterr().out == "answer 2\nanswer 4\n"
    assert conversation.task.contents() == [  # type: ignore[attr-defined]
        ("system", "Be kind."),
        ("user", "hello"),
        ("assistant", "answer 2"),
        ("user", "again"),
    ]


def test_commands_change_the_conversation(conversation: Conversation, capsys: pytest.CaptureFixture[str]) -> None:
    conversation.enter("hello")
    conversation.enter("/regenerate")
    assert len(conversation.messages) == 2
    conversation.enter("/system Be brief.")
    conversation.enter("/reset")
    conversation.enter("new")
    assert conversation.task.contents() == [("system", "Be brief."), ("user", "new")]  # type: ignore[attr-defined]
    conversation.enter("/rest")
    assert "Did you mean /reset?" in capsys.readouterr().err
    assert conversation.enter("")
    assert not conversation.enter("/quit")


def test_a_stopped_answer_stays_and_a_refused_message_does_not(
    conversation: Conversation, capsys: pytest.CaptureFixture[str]
) -> None:
    conversation.enter("stop")
    assert [message["content"] for message in conversation.messages] == ["stop", "half"]
    conversation.enter("/reset")
    conversation.enter("long")
    assert not conversation.messages
    assert "too long. /reset begins anew." in capsys.readouterr().err


def test_a_conversation_is_piped_in(tmp_path: Path) -> None:
    result = hearth("chat", "gpt-shakespeare", "--max-tokens", "4", "--seed", "1", cwd=tmp_path, stdin=b"Who?\n/quit\n")
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip()
    refused = hearth("chat", "sentiment-en", cwd=tmp_path)
    assert refused.returncode == 2
    assert "no chat template" in refused.stderr
