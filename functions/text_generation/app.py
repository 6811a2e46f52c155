"""text-generation: a text goes on, or an answer to messages, token by token."""

from __future__ import annotations

from hearth.models import preload

preload.start("tokenizers")  # before the imports that take long

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, to_builtins

from hearth.models.cache import warm
from hearth.tasks.chat_template import prompt_of
from hearth.aws_lambda.handler import create_handler
from hearth.errors import BadRequest, PayloadTooLarge
from hearth.tasks.generation import Piece, Sampling, decoder_of, generate, log_likelihoods, new_seed, vocabulary_of
from hearth.models.model import Model
from hearth.ops.text.windows import bounded
from hearth.tasks.task import Task
from hearth.telemetry.timing import current, paced, step

MOST = 100
"""New tokens when the caller does not say."""
UNUSED = ("adapter_id", "grammar", "truncate", "typical_p")
"""Options of other servers; Hugging Face's client drops those that an error names, and asks again."""


class Parameters(Struct, frozen=True, forbid_unknown_fields=True):
    max_new_tokens: Annotated[int, Meta(ge=1)] | None = None
    do_sample: bool | None = None
    """Unset: when one of temperature, top_k and top_p is set."""
    temperature: Annotated[float, Meta(ge=0, le=100)] | None = None
    top_k: Annotated[int, Meta(ge=1)] | None = None
    top_p: Annotated[float, Meta(gt=0, le=1)] | None = None
    repetition_penalty: Annotated[float, Meta(ge=0.01, le=10)] = 1.0
    presence_penalty: Annotated[float, Meta(ge=-2, le=2)] = 0.0
    frequency_penalty: Annotated[float, Meta(ge=-2, le=2)] = 0.0
    seed: Annotated[int, Meta(ge=0, le=2**63 - 1)] | None = None
    stop: Annotated[list[Annotated[str, Meta(min_length=1, max_length=200)]], Meta(max_length=16)] = []
    return_full_text: bool = False
    details: bool = False
    decoder_input_details: bool = False
    top_n_tokens: Annotated[int, Meta(ge=0, le=20)] = 0
    """The likeliest tokens at each place, told in the details."""
    logit_bias: Annotated[dict[str, Annotated[float, Meta(ge=-100, le=100)]], Meta(max_length=1024)] = {}
    """Added to the logits of tokens, by their numbers."""
    best_of: Literal[1] = 1
    watermark: Literal[False] = False
    adapter_id: Any = None
    grammar: Any = None
    truncate: Any = None
    typical_p: Any = None


class Message(Struct, frozen=True, forbid_unknown_fields=True):
    role: Literal["system", "user", "assistant"]
    content: str


class Request(Struct, frozen=True, forbid_unknown_fields=True):
    """Either `inputs` or, for models with a chat template, `messages`."""

    inputs: str | Annotated[list[Annotated[int, Meta(ge=0)]], Meta(min_length=1)] | None = None
    """A text to go on from, or its tokens' numbers."""
    parameters: Parameters = Parameters()
    messages: Annotated[list[Message], Meta(min_length=1, max_length=1000)] | None = None
    stream: bool = False
    """Whether the answer comes token by token, as Server-Sent Events."""


class Token(Struct, frozen=True):
    id: int
    text: str
    logprob: float | None
    special: bool = False


class Details(Struct, frozen=True):
    finish_reason: str
    generated_tokens: int
    seed: int
    prefill: list[Token]
    tokens: list[Token]
    input_length: int
    top_tokens: list[list[Token]] | UnsetType = UNSET


class Generated(Struct, frozen=True, omit_defaults=True):
    generated_text: str
    details: Details | None = None


Response = list[Generated]
"""One answer."""


def encode(model: Model, request: Request) -> list[int]:
    """The prompt's tokens. Raises BadRequest, PayloadTooLarge."""
    wanted = request.parameters
    unused = [name for name in UNUSED if getattr(wanted, name) is not None]
    if unused:
        raise BadRequest(f"The following `model_kwargs` are not used by the model: {unused}")
    tokens, length = tokens_of(model, request)
    new, context = wanted.max_new_tokens or 1, decoder_of(model).context
    if not tokens:
        raise BadRequest("The prompt is empty; send at least one character to go on from", param="inputs")
    if length + new > context:
        raise PayloadTooLarge(
            f"The prompt has {length} tokens and `max_new_tokens` is {new}; the model takes {context} of both together"
        )
    current().count("input_tokens", length)
    return tokens


def tokens_of(model: Model, request: Request) -> tuple[list[int], int]:
    """The tokens that the model may read, and how many there were."""
    assert model.tokenizer is not None  # noqa: S101 -- what the manifest's schema promises of the task
    if isinstance(request.inputs, list) and request.messages is None:
        if max(request.inputs) >= vocabulary_of(model):
            raise BadRequest(f"The model's tokens have numbers below {vocabulary_of(model)}", param="inputs")
        return request.inputs, len(request.inputs)
    if request.messages is not None:  # before a template writes them down
        bounded((message.content for message in request.messages), model.manifest.limits)
    text = text_of(model, request)
    bounded([text], model.manifest.limits)
    # A template writes the special tokens itself.
    encoding = model.tokenizer.encode(text, add_special_tokens=request.messages is None)
    return list(encoding.ids), len(encoding.ids) + sum(len(part.ids) for part in encoding.overflowing)


def text_of(model: Model, request: Request) -> str:
    if (request.inputs is None) == (request.messages is None):
        raise BadRequest("Send either `inputs`, a text to go on from, or `messages`, a conversation to answer")
    if isinstance(request.inputs, list):
        assert model.tokenizer is not None  # noqa: S101
        return model.tokenizer.decode(request.inputs)
    return prompt_of(model, to_builtins(request.messages)) if request.inputs is None else request.inputs


def pieces_of(model: Model, request: Request) -> Iterator[Piece]:
    """The answer's pieces as they come; their texts add up to it. Raises as `encode`, before the first one."""
    wanted = request.parameters
    with step("encode"):
        prompt = encode(model, request)
        bias = {int(token): value for token, value in wanted.logit_bias.items() if token.isascii() and token.isdigit()}
        if len(bias) < len(wanted.logit_bias) or max(bias, default=0) >= vocabulary_of(model):
            most = vocabulary_of(model)
            raise BadRequest(f"`logit_bias` names tokens by their numbers, below {most}", param="parameters.logit_bias")
    chosen = wanted.temperature not in (None, 1.0) or wanted.top_k is not None or wanted.top_p is not None
    sampled = chosen if wanted.do_sample is None else wanted.do_sample
    sampling = Sampling(
        temperature=(1.0 if wanted.temperature is None else wanted.temperature) if sampled else 0.0,
        top_k=wanted.top_k,
        top_p=wanted.top_p,
        repetition=wanted.repetition_penalty,
        presence=wanted.presence_penalty,
        frequency=wanted.frequency_penalty,
        bias=bias,
        seed=new_seed() if wanted.seed is None else wanted.seed,
    )
    current().facts["seed"] = sampling.seed  # the answer says which one would repeat it
    most = wanted.max_new_tokens or min(MOST, decoder_of(model).context - len(prompt))
    for piece in paced(generate(model, prompt, most, sampling, wanted.stop, wanted.top_n_tokens)):
        current().count("output_tokens", 1)
        yield piece


def decode(model: Model, request: Request, pieces: Sequence[Piece]) -> Response:
    wanted, tokenizer, facts = request.parameters, model.tokenizer, current().facts
    assert tokenizer is not None  # noqa: S101
    text = "".join(piece.text for piece in pieces)
    whole = text_of(model, request) + text if wanted.return_full_text else text
    if not (wanted.details or wanted.decoder_input_details):
        return [Generated(whole)]
    prompt, length = tokens_of(model, request)
    prefill = []
    if wanted.decoder_input_details:
        known = [None, *log_likelihoods(model, prompt).tolist()]
        prefill = [Token(one, tokenizer.decode([one]), logprob) for one, logprob in zip(prompt, known, strict=True)]
    tokens = [Token(piece.token, piece.text, piece.logprob, piece.special) for piece in pieces]
    details = Details(
        finish_reason=pieces[-1].finish or "",
        generated_tokens=len(tokens),
        seed=int(facts["seed"]),
        prefill=prefill,
        tokens=tokens,
        top_tokens=[[Token(*one) for one in piece.top] for piece in pieces] if wanted.top_n_tokens else UNSET,
        input_length=length,
    )
    return [Generated(whole, details)]


def answer(model: Model, request: Request) -> Response:
    coming = pieces_of(model, request)
    with step("run"):
        pieces = list(coming)
    with step("decode"):
        return decode(model, request, pieces)


def predict(name: str, request: Request) -> Response:
    with warm().get(name) as model:
        return answer(model, request)


def stream(name: str, request: Request) -> Iterator[Piece]:
    with warm().get(name) as model:
        yield from pieces_of(model, request)


EXAMPLE = {
    "inputs": "ROMEO:\nBut soft, what light",
    "parameters": {"max_new_tokens": 40, "temperature": 0.8, "seed": 1},
}
TASKS = (Task("text-generation", Request, Response, predict, EXAMPLE, stream=stream),)
handler = create_handler(TASKS)
