"""Messages as one prompt, through the chat template that came with a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NoReturn

from hearth.errors import BadRequest
from hearth.models.model import Model
from hearth.tasks.generation import decoder_of


def prompt_of(model: Model, messages: Sequence[Mapping[str, str]]) -> str:
    """The text, special tokens and all, that the model's answer follows. Raises BadRequest."""
    head, tokenizer = decoder_of(model), model.tokenizer
    assert tokenizer is not None  # noqa: S101 -- what the manifest's schema promises of the task
    if head.chat_template is None:
        raise BadRequest("This model has no chat template; send `inputs`, a text to go on from")
    ends = (head.bos, next(iter(head.eos), None))
    bos, eos = ("" if number is None else tokenizer.id_to_token(number) or "" for number in ends)
    return render(model.resources[head.chat_template].decode(), messages, bos, eos)


def render(template: str, messages: Sequence[Mapping[str, str]], bos: str = "", eos: str = "") -> str:
    """The template's text. Raises BadRequest when it refuses the messages."""
    import jinja2
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def refuse(message: str) -> NoReturn:
        raise jinja2.TemplateError(message)

    # As transformers sets it up, so that templates from there give the same prompts.
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.globals["raise_exception"] = refuse
    try:
        return environment.from_string(template).render(
            messages=[dict(message) for message in messages], add_generation_prompt=True, bos_token=bos, eos_token=eos
        )
    except jinja2.TemplateError as error:
        why = f": {error}" if str(error) in template else ""  # what it makes of the messages stays untold
        raise BadRequest(f"The model's chat template refuses these `messages`{why}") from None
