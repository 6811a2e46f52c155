"""text-generation: continues a text or answers messages, token by token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from hearth.aws_lambda.handler import create_handler
from hearth.errors import BadRequest, TextTooLong
from hearth.ops.text.windows import check_lengths
from hearth.tasks.chat_template import render_prompt
from hearth.tasks.generation import (
    Generation,
    LanguageModel,
    Piece,
    Sampling,
    generate,
    log_likelihoods,
    new_seed,
    vocabulary_size,
)
from hearth.tasks.task import Prediction, Task, Usage
from hearth.telemetry.timing import step

MAX_NEW_TOKENS = 100
"""Default of `max_new_tokens`."""
UNSUPPORTED = ("adapter_id", "grammar", "truncate", "typical_p")
"""Options of other servers. Hugging Face's client drops those that an error names, and retries."""


class Parameters(Struct, frozen=True, forbid_unknown_fields=True):
    max_new_tokens: Annotated[int, Meta(ge=1)] | None = None
    do_sample: bool | None = None
    """Default: true if one of temperature, top_k and top_p is set."""
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
    """Number of the likeliest tokens at each position that the details have."""
    logit_bias: Annotated[dict[str, Annotated[float, Meta(ge=-100, le=100)]], Meta(max_length=1024)] = {}
    """Token id -> value added to its logit."""
    best_of: Literal[1] = 1
    watermark: Literal[False] = False
    adapter_id: Any = None
    grammar: Any = None
    truncate: Any = None
    typical_p: Any = None


class Message(Struct, frozen=True):
    role: Literal["system", "user", "assistant"]
    content: str
    tool_calls: Annotated[list[Any], Meta(max_length=0)] | None = None
    """No model here calls tools; an empty list is allowed, because clients send former answers back."""


class Request(Struct, frozen=True, forbid_unknown_fields=True):
    """Either `inputs` or, for models with a chat template, `messages`."""

    inputs: str | Annotated[list[Annotated[int, Meta(ge=0)]], Meta(min_length=1)] | None = None
    """A text to continue, or its token ids."""
    parameters: Parameters = Parameters()
    messages: Annotated[list[Message], Meta(min_length=1, max_length=1000)] | None = None
    stream: bool = False
    """Whether the response comes token by token, as Server-Sent Events."""


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


class GeneratedText(Struct, frozen=True, omit_defaults=True):
    generated_text: str
    details: Details | None = None


Response = list[GeneratedText]
"""A list of one generated text."""


def encode(model: LanguageModel, request: Request) -> list[int]:
    """The prompt's tokens. Raises BadRequest, TextTooLong."""
    parameters, context = request.parameters, model.head.context
    unsupported = [name for name in UNSUPPORTED if getattr(parameters, name) is not None]
    if unsupported:
        raise BadRequest(f"The following `model_kwargs` are not used by the model: {unsupported}")
    tokens, length = prompt_tokens(model, request)
    new = parameters.max_new_tokens or 1
    if not tokens:
        raise BadRequest("The prompt is empty; send at least one character to continue", param="inputs")
    if length + new > context:
        raise TextTooLong(
            f"The prompt has {length} tokens and `max_new_tokens` is {new}; together at most {context} are allowed",
            tokens=length,
            new_tokens=parameters.max_new_tokens or 0,
        )
    return tokens


def prompt_tokens(model: LanguageModel, request: Request) -> tuple[list[int], int]:
    """The tokens that the model can read, and their number before truncation."""
    limits = model.manifest.limits
    if isinstance(request.inputs, list) and request.messages is None:
        if max(request.inputs) >= (vocabulary := vocabulary_size(model)):
            raise BadRequest(f"The model's token ids are below {vocabulary}", param="inputs")
        return request.inputs, len(request.inputs)
    if request.messages is not None:  # before the template is rendered
        check_lengths((message.content for message in request.messages), limits)
    text = prompt_text(model, request)
    check_lengths([text], limits)
    # A chat template includes the special tokens.
    encoding = model.tokenizer.encode(text, add_special_tokens=request.messages is None)
    return list(encoding.ids), len(encoding.ids) + sum(len(overflow.ids) for overflow in encoding.overflowing)


def prompt_text(model: LanguageModel, request: Request) -> str:
    if (request.inputs is None) == (request.messages is None):
        raise BadRequest("Send either `inputs`, a text to continue, or `messages`, a conversation to answer")
    if request.messages is not None:
        messages = [{"role": message.role, "content": message.content} for message in request.messages]
        return render_prompt(model, messages)
    return model.tokenizer.decode(request.inputs) if isinstance(request.inputs, list) else str(request.inputs)


def stream(model: LanguageModel, request: Request) -> Generation:
    """Start to generate a text; its pieces come as they are generated. Raises BadRequest, TextTooLong."""
    parameters = request.parameters
    with step("encode"):
        prompt = encode(model, request)
        bias = read_bias(model, parameters.logit_bias) if parameters.logit_bias else {}
    has_sampling_options = (
        parameters.temperature not in (None, 1.0) or parameters.top_k is not None or parameters.top_p is not None
    )
    do_sample = has_sampling_options if parameters.do_sample is None else parameters.do_sample
    sampling = Sampling(
        temperature=(1.0 if parameters.temperature is None else parameters.temperature) if do_sample else 0.0,
        top_k=parameters.top_k,
        top_p=parameters.top_p,
        repetition=parameters.repetition_penalty,
        presence=parameters.presence_penalty,
        frequency=parameters.frequency_penalty,
        bias=bias,
        seed=new_seed() if parameters.seed is None else parameters.seed,
    )
    maximum = parameters.max_new_tokens or min(MAX_NEW_TOKENS, model.head.context - len(prompt))
    pieces = generate(model, prompt, maximum, sampling, parameters.stop, parameters.top_n_tokens)
    return Generation(Usage(input_tokens=len(prompt), seed=sampling.seed), pieces)


def read_bias(model: LanguageModel, logit_bias: dict[str, float]) -> dict[int, float]:
    """Token id -> bias. Raises BadRequest."""
    vocabulary = vocabulary_size(model)
    bias = {int(token): value for token, value in logit_bias.items() if token.isascii() and token.isdigit()}
    if len(bias) < len(logit_bias) or max(bias) >= vocabulary:
        raise BadRequest(
            f"The keys of `logit_bias` must be token ids below {vocabulary}", param="parameters.logit_bias"
        )
    return bias


def decode(model: LanguageModel, request: Request, pieces: Sequence[Piece], usage: Usage) -> Response:
    parameters, tokenizer = request.parameters, model.tokenizer
    text = "".join(piece.text for piece in pieces)
    full_text = prompt_text(model, request) + text if parameters.return_full_text else text
    if not (parameters.details or parameters.decoder_input_details):
        return [GeneratedText(full_text)]
    prefill = []
    if parameters.decoder_input_details:
        prompt, _ = prompt_tokens(model, request)
        logprobs = [None, *log_likelihoods(model, prompt).tolist()]
        prefill = [
            Token(token, tokenizer.decode([token]), logprob) for token, logprob in zip(prompt, logprobs, strict=True)
        ]
    details = Details(
        finish_reason=pieces[-1].finish or "",
        generated_tokens=usage.output_tokens,
        seed=usage.seed or 0,
        prefill=prefill,
        tokens=[Token(piece.token, piece.text, piece.logprob, piece.special) for piece in pieces],
        top_tokens=[[Token(*top) for top in piece.top] for piece in pieces] if parameters.top_n_tokens else UNSET,
        input_length=usage.input_tokens,
    )
    return [GeneratedText(full_text, details)]


def predict(model: LanguageModel, request: Request) -> Prediction:
    generation = stream(model, request)
    with step("run"):
        pieces = list(generation)
    with step("decode"):
        response = decode(model, request, pieces, generation.usage)
    return Prediction(response, generation.usage)


EXAMPLE = {
    "inputs": "ROMEO:\nBut soft, what light",
    "parameters": {"max_new_tokens": 40, "temperature": 0.8, "seed": 1},
}
TASKS = (Task("text-generation", Request, Response, predict, EXAMPLE, stream=stream),)
handler = create_handler(TASKS)
