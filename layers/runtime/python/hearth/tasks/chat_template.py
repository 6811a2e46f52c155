"""Renders messages as a prompt with the model's chat template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NoReturn

from hearth.errors import BadRequest
from hearth.tasks.generation import LanguageModel


def render_prompt(model: LanguageModel, messages: Sequence[Mapping[str, Any]], tools: Sequence[Any] = ()) -> str:
    """The prompt for the model's answer, special tokens included. Raises BadRequest."""
    if model.head.chat_template is None:
        raise BadRequest("This model has no chat template; send `inputs`, a text to continue")
    special_ids = (model.head.bos, next(iter(model.head.eos), None))
    bos, eos = ("" if token is None else model.tokenizer.id_to_token(token) or "" for token in special_ids)
    return render(model.resources[model.head.chat_template].decode(), messages, bos, eos, tools)


def render(
    template: str, messages: Sequence[Mapping[str, Any]], bos: str = "", eos: str = "", tools: Sequence[Any] = ()
) -> str:
    """Render a chat template. Raises BadRequest if the template refuses the messages."""
    import jinja2

    from hearth.tasks.bounded_template import BoundedEnvironment, TemplateTooExpensiveError

    def refuse(message: str) -> NoReturn:
        raise jinja2.TemplateError(message)

    # The same environment as in transformers, so that templates give the same prompts.
    environment = BoundedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"])
    environment.globals["raise_exception"] = refuse
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    variables = {
        "messages": [dict(message) for message in messages],
        "tools": list(tools) or None,
        "add_generation_prompt": True,
        "bos_token": bos,
        "eos_token": eos,
    }
    try:
        return environment.render_bounded(template, variables)
    except TemplateTooExpensiveError as error:
        raise BadRequest(f"The model's chat template cannot be used: {error}") from None
    except RecursionError:
        raise BadRequest("The model's chat template cannot be used: it calls itself too often") from None
    except (jinja2.TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
        # Only an error text of the template itself is repeated; others may quote the caller's text.
        reason = f": {error}" if isinstance(error, jinja2.TemplateError) and str(error) in template else ""
        raise BadRequest(f"The model's chat template refuses these `messages`{reason}") from None
