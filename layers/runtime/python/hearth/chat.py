"""Messages as one prompt, through the chat template that came with a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NoReturn

from hearth.errors import BadRequest


def render(template: str, messages: Sequence[Mapping[str, str]], bos: str = "", eos: str = "") -> str:
    """The prompt that the model's answer follows. Raises BadRequest when the template refuses the messages."""
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
        raise BadRequest(f"The model's chat template refuses these `messages`: {error}") from None
