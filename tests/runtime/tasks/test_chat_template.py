"""Prompts from messages: the environment of transformers, and refusals that quote no message."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from hearth.errors import BadRequest
from hearth.tasks.chat_template import render, render_prompt

TEMPLATE = """{{ bos_token }}{% for message in messages %}
{% if message.role == 'system' and not loop.first %}{{ raise_exception('The system speaks first') }}{% endif %}
<{{ message.role }}> {{ message.content }}{{ eos_token }}
    {% endfor %}
{% if add_generation_prompt %}<assistant>{% endif %}"""
MESSAGES = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi <b>"}]


def test_blocks_leave_no_space_and_nothing_is_escaped() -> None:
    assert render(TEMPLATE, MESSAGES, "<s>", "</s>") == "<s><user> Hello</s>\n<assistant> Hi <b></s>\n<assistant>"


def test_a_refusal_of_the_template_is_repeated_and_a_message_is_not() -> None:
    late = [*MESSAGES, {"role": "system", "content": "secret"}]
    with pytest.raises(BadRequest, match="refuses these `messages`: The system speaks first"):
        render(TEMPLATE, late)
    with pytest.raises(BadRequest, match=r"refuses these `messages`$") as raised:
        render("{{ raise_exception(messages[0].content) }}", [{"role": "user", "content": "secret"}])
    assert "secret" not in raised.value.message


@pytest.mark.parametrize(
    "template",
    ["{{ ''.__class__.__mro__ }}", "{{ messages.append(1) }}", "{% for x in range(10**9) %}{% endfor %}", "{{"],
)
def test_a_template_is_confined(template: str) -> None:
    with pytest.raises((BadRequest, OverflowError)):
        render(template, MESSAGES)


def model(**head: Any) -> Any:
    fields = {"chat_template": "chat.jinja", "bos": 1, "eos": (2, 3)} | head
    tokenizer = SimpleNamespace(id_to_token={1: "<s>", 2: "</s>"}.get)
    return SimpleNamespace(
        head=SimpleNamespace(**fields),
        tokenizer=tokenizer,
        resources={"chat.jinja": b"{{ bos_token }}|{{ eos_token }}"},
    )


@pytest.mark.parametrize(
    ("head", "prompt"), [({}, "<s>|</s>"), ({"bos": None}, "|</s>"), ({"eos": ()}, "<s>|"), ({"bos": 9}, "|</s>")]
)
def test_special_tokens_are_the_models(head: dict[str, Any], prompt: str) -> None:
    assert render_prompt(model(**head), MESSAGES) == prompt


def test_a_model_without_a_template_says_what_to_send() -> None:
    with pytest.raises(BadRequest, match="has no chat template; send `inputs`, a text to continue"):
        render_prompt(model(chat_template=None), MESSAGES)
