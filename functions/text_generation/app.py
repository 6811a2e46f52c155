"""text-generation: continues a text or answers messages, token by token."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, to_builtins

from hearth.aws_lambda.handler import create_handler
from hearth.errors import BadRequest, TextTooLong
from hearth.ops.text.windows import check_lengths
from hearth.tasks.chat_template import render_prompt
from hearth.tasks.constraint import Constraint, Grammar
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
from hearth.tasks.tool_calls import forced_call, tool_format
from hearth.telemetry.timing import step

MAX_NEW_TOKENS = 100
"""Default of `max_new_tokens`."""
UNSUPPORTED = ("adapter_id", "truncate", "typical_p")
"""Options of other servers. Hugging Face's client drops those that an error names, and retries."""


class Parameters(Struct, frozen=True, forbid_unknown_fields=True):
    max_new_tokens: Annotated[int, Meta(ge=1)] | None = None
    do_sample: bool | None = None
    """Default: true if one of temperature, top_k, top_p and min_p is set."""
    temperature: Annotated[float, Meta(ge=0, le=100)] | None = None
    top_k: Annotated[int, Meta(ge=1)] | None = None
    top_p: Annotated[float, Meta(gt=0, le=1)] | None = None
    min_p: Annotated[float, Meta(ge=0, le=1)] | None = None
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
    grammar: Grammar | None = None
    """The format of the text; a text that reaches `max_new_tokens` is cut off within it."""
    ignore_eos: bool = False
    """Whether the text goes on after the model's end token."""
    truncate: Any = None
    typical_p: Any = None


class FunctionCall(Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    arguments: dict[str, Any]


class MessageToolCall(Struct, frozen=True, forbid_unknown_fields=True):
    id: str
    function: FunctionCall
    type: Literal["function"] = "function"


class Message(Struct, frozen=True):
    role: Literal["system", "user", "assistant", "tool"]
    content: str = ""
    tool_calls: Annotated[list[MessageToolCall], Meta(max_length=128)] = []
    """Calls that the assistant made."""
    tool_call_id: str = ""
    """The call that a tool's message answers."""
    name: str = ""
    """The tool that answers."""

    def fields(self) -> dict[str, Any]:
        """What the chat template sees: fields that are not set are not there."""
        return {name: value for name, value in to_builtins(self).items() if value or name == "content"}


class Function(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    name: Annotated[str, Meta(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
    description: str = ""
    parameters: dict[str, Any] = {}
    """A JSON schema."""
    strict: bool | None = None


class Tool(Struct, frozen=True, forbid_unknown_fields=True):
    function: Function
    type: Literal["function"]


class Request(Struct, frozen=True, forbid_unknown_fields=True):
    """Either `inputs` or, for models with a chat template, `messages`, with `tools` that the model may call."""

    inputs: str | Annotated[list[Annotated[int, Meta(ge=0)]], Meta(min_length=1)] | None = None
    """A text to continue, or its token ids."""
    parameters: Parameters = Parameters()
    messages: Annotated[list[Message], Meta(min_length=1, max_length=1000)] | None = None
    tools: Annotated[list[Tool], Meta(max_length=128)] = []
    tool_choice: str = "auto"
    """`auto`, `none`, `required`, or the name of the function that must be called."""
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
    text = prompt_text(model, request)
    check_lengths([text], limits)
    # A chat template includes the special tokens.
    encoding = model.tokenizer.encode(text, add_special_tokens=request.messages is None)
    return list(encoding.ids), len(encoding.ids) + sum(len(overflow.ids) for overflow in encoding.overflowing)


def prompt_text(model: LanguageModel, request: Request) -> str:
    if (request.inputs is None) == (request.messages is None):
        raise BadRequest("Send either `inputs`, a text to continue, or `messages`, a conversation to answer")
    if request.messages is not None:
        messages, tools = [message.fields() for message in request.messages], tools_of(request)
        begin = tool_format(model).begin if tools else ""
        return render_prompt(model, messages, tools) + ("" if request.tool_choice == "auto" else begin)
    return model.tokenizer.decode(request.inputs) if isinstance(request.inputs, list) else str(request.inputs)


def tools_of(request: Request) -> list[dict[str, Any]]:
    """The tools that the model is told about."""
    return [] if request.tool_choice == "none" else [to_builtins(tool) for tool in request.tools]


def grammar_of(model: LanguageModel, request: Request) -> Grammar | None:
    """The format of the text: that of the parameters, or that of a forced tool call. Raises BadRequest."""
    if request.tools and request.messages is None:
        raise BadRequest("`tools` need `messages`", param="tools")
    if request.tool_choice in ("auto", "none"):
        return request.parameters.grammar
    if not request.tools:
        raise BadRequest("`tool_choice` needs `tools`", param="tool_choice")
    if request.parameters.grammar is not None:
        raise BadRequest("A forced tool call has a format of its own; leave `grammar` out", param="parameters.grammar")
    return forced_call(tool_format(model), tools_of(request), request.tool_choice)


def stream(model: LanguageModel, request: Request) -> Generation:
    """Start to generate a text; its pieces come as they are generated. Raises BadRequest, TextTooLong."""
    parameters = request.parameters
    if request.stream and parameters.decoder_input_details:
        raise BadRequest("`decoder_input_details` cannot be streamed", param="parameters.decoder_input_details")
    with step("encode"):
        prompt = encode(model, request)
        bias = read_bias(model, parameters.logit_bias) if parameters.logit_bias else {}
    has_sampling_options = (
        parameters.temperature not in (None, 1.0)
        or parameters.top_k is not None
        or parameters.top_p is not None
        or parameters.min_p is not None
    )
    do_sample = has_sampling_options if parameters.do_sample is None else parameters.do_sample
    sampling = Sampling(
        temperature=(1.0 if parameters.temperature is None else parameters.temperature) if do_sample else 0.0,
        top_k=parameters.top_k,
        top_p=parameters.top_p,
        min_p=parameters.min_p or 0.0,
        repetition=parameters.repetition_penalty,
        presence=parameters.presence_penalty,
        frequency=parameters.frequency_penalty,
        bias=bias,
        seed=new_seed() if parameters.seed is None else parameters.seed,
    )
    maximum = parameters.max_new_tokens or min(MAX_NEW_TOKENS, model.head.context - len(prompt))
    grammar = grammar_of(model, request)
    constraint = None if grammar is None else Constraint(model, grammar)
    usage = Usage(input_tokens=len(prompt), seed=sampling.seed)
    pieces = generate(
        model,
        prompt,
        maximum,
        sampling,
        parameters.stop,
        parameters.top_n_tokens,
        constraint,
        ignore_eos=parameters.ignore_eos,
        usage=usage,
    )
    return Generation(usage, pieces, prompt_text(model, request) if parameters.return_full_text else "")


def read_bias(model: LanguageModel, logit_bias: dict[str, float]) -> dict[int, float]:
    """Token id -> bias. Raises BadRequest."""
    vocabulary = vocabulary_size(model)
    bias = {int(token): value for token, value in logit_bias.items() if re.fullmatch(r"\d{1,9}", token, re.ASCII)}
    if len(bias) < len(logit_bias) or max(bias) >= vocabulary:
        raise BadRequest(
            f"The keys of `logit_bias` must be token ids below {vocabulary}", param="parameters.logit_bias"
        )
    return bias


def decode(model: LanguageModel, request: Request, pieces: Sequence[Piece], generation: Generation) -> Response:
    parameters, tokenizer, usage = request.parameters, model.tokenizer, generation.usage
    text = generation.prefix + "".join(piece.text for piece in pieces)
    if not (parameters.details or parameters.decoder_input_details):
        return [GeneratedText(text)]
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
    return [GeneratedText(text, details)]


def predict(model: LanguageModel, request: Request) -> Prediction:
    generation = stream(model, request)
    with step("run"):
        pieces = list(generation)
    with step("decode"):
        response = decode(model, request, pieces, generation)
    return Prediction(response, generation.usage)


EXAMPLE = {
    "inputs": "ROMEO:\nBut soft, what light",
    "parameters": {"max_new_tokens": 40, "temperature": 0.8, "seed": 1},
}
TASKS = (Task("text-generation", Request, Response, predict, EXAMPLE, stream=stream),)
handler = create_handler(TASKS)
