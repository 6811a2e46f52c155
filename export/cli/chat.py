"""`hearth chat`: a conversation with a model in the terminal, without a server."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hearth.errors import BadRequest
from hearth_build import ZOO
from hearth_build.cli.options import NameArgument, StoreOption
from hearth_build.cli.suggestions import did_you_mean, similar_models

if TYPE_CHECKING:
    from hearth.models.model import Model
    from hearth.tasks.task import Task

COMMANDS = {
    "/system": "TEXT: the instructions for the whole conversation; without TEXT: none",
    "/regenerate": "another answer to the last message",
    "/reset": "begin anew; the instructions stay",
    "/help": "this list",
    "/quit": "end, as Ctrl-D; Ctrl-C stops an answer",
}
"""What may be entered instead of a message."""


def chat(
    name: NameArgument,
    store: StoreOption = ZOO.as_uri(),
    system: Annotated[str, typer.Option(help="Instructions for the whole conversation.")] = "",
    max_tokens: Annotated[int, typer.Option(help="Largest number of tokens of an answer.", min=1)] = 200,
    temperature: Annotated[float, typer.Option(help="0: always the most likely token.", min=0, max=100)] = 0.8,
    seed: Annotated[int | None, typer.Option(help="Makes the answers repeatable.", min=0)] = None,
) -> None:
    """Talk with a model. Answers appear token by token; /help lists what may be entered besides messages."""
    from hearth.models.cache import warm_cache
    from hearth.tasks.task import open_model
    from hearth.telemetry.log import HANDLER
    from hearth_build.release.served import tasks_of

    HANDLER.stream = sys.stderr
    os.environ["HEARTH_STORE"] = store
    with similar_models(store, name):
        resolved = warm_cache().resolve(name)
    if not getattr(resolved.manifest.head, "chat_template", None):
        raise typer.BadParameter(
            f"{resolved.ref} has no chat template, so it cannot talk. `hearth predict {name} TEXT` runs it."
        )
    task, lease = open_model(tasks_of(resolved.manifest.task), resolved, "")
    parameters = {"max_new_tokens": max_tokens, "temperature": temperature, "seed": seed}
    with lease as model:
        conversation = Conversation(task, model, parameters, system)
        is_terminal = sys.stdin.isatty()
        if is_terminal:
            print(f"{resolved.ref}. /help lists the commands, Ctrl-D ends.", file=sys.stderr)
        for line in _lines(is_terminal):
            if not conversation.enter(line):
                break


@dataclass
class Conversation:
    """The messages so far, and what answers them."""

    task: Task
    model: Model[Any, Any]
    parameters: dict[str, Any]
    system: str = ""
    messages: list[dict[str, str]] = field(default_factory=list)

    def enter(self, line: str) -> bool:
        """Take a message or a command; false ends the conversation."""
        text = line.strip()
        command, _, argument = text.partition(" ")
        if not text.startswith("/"):
            if text:
                self._answer({"role": "user", "content": text})
        elif command == "/quit":
            return False
        elif command == "/system":
            self.system = argument.strip()
        elif command == "/reset":
            self.messages.clear()
        elif command == "/regenerate":
            self._regenerate()
        elif command == "/help":
            print("\n".join(f"{name:12} {meaning}" for name, meaning in COMMANDS.items()), file=sys.stderr)
        else:
            print(f"There is no command {command}.{did_you_mean(command, COMMANDS)} /help lists them.", file=sys.stderr)
        return True

    def _regenerate(self) -> None:
        if len(self.messages) < 2:
            print("There is no answer yet.", file=sys.stderr)
            return
        question = self.messages[-2]
        del self.messages[-2:]
        self._answer(question)

    def _answer(self, question: dict[str, str]) -> None:
        """Print the answer to a message as it is generated, and remember both."""
        instructions = [{"role": "system", "content": self.system}] if self.system else []
        messages = [*instructions, *self.messages, question]
        text, began, tokens = "", time.monotonic(), 0
        try:
            for piece in self._generate(messages):
                print(piece, end="", flush=True)
                text, tokens = text + piece, tokens + 1
        except KeyboardInterrupt:
            pass  # the part so far is the answer
        except BadRequest as error:
            print(f"{error.message}. /reset begins anew.", file=sys.stderr)
            return
        print(flush=True)
        self.messages += [question, {"role": "assistant", "content": text}]
        if sys.stdin.isatty() and tokens:
            print(f"{tokens} tokens, {tokens / (time.monotonic() - began):.0f} tokens/s", file=sys.stderr)

    def _generate(self, messages: list[dict[str, str]]) -> Iterator[str]:
        import msgspec

        parameters = {name: value for name, value in self.parameters.items() if value is not None}
        request = msgspec.convert({"messages": messages, "parameters": parameters}, self.task.request)
        for piece in self.task.generate(self.model, request):
            yield piece.text


def _lines(is_terminal: bool) -> Iterator[str]:
    """The lines of standard input, which a terminal asks for."""
    if not is_terminal:
        yield from sys.stdin
        return
    import readline  # noqa: F401  # gives `input` a history and editing

    while True:
        try:
            yield input("> ")
        except EOFError:
            print()
            return
