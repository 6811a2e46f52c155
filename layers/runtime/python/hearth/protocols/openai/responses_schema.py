"""Requests and responses of POST /v1/responses. The events of a stream have the names and fields of OpenAI's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from hearth.protocols.openai.schema import REFUSED, NamedFunction


class ContentPart(Struct, frozen=True):
    type: Literal["input_text", "output_text", "text"]
    text: str


class MessageItem(Struct, frozen=True, tag_field="type", tag="message"):
    role: Literal["developer", "system", "user", "assistant"]
    content: str | list[ContentPart]


class FunctionCallItem(Struct, frozen=True, tag_field="type", tag="function_call"):
    call_id: str
    name: str
    arguments: str
    """A JSON object as text."""


class FunctionCallOutputItem(Struct, frozen=True, tag_field="type", tag="function_call_output"):
    call_id: str
    output: str | list[ContentPart]


class ReasoningItem(Struct, frozen=True, tag_field="type", tag="reasoning"):
    """Sent back by clients; no model here reads it."""


InputItem = MessageItem | FunctionCallItem | FunctionCallOutputItem | ReasoningItem


class ResponseTool(Struct, frozen=True):
    type: Literal["function"]
    name: Annotated[str, Meta(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
    description: str | None = None
    parameters: dict[str, Any] | None = None
    """A JSON schema."""
    strict: bool | None = None


class NamedResponseTool(NamedFunction, frozen=True):
    type: Literal["function"] = "function"


class TextFormat(Struct, frozen=True, omit_defaults=True):
    type: Literal["text", "json_object", "json_schema"]
    name: str = ""
    schema: dict[str, Any] = {}
    description: str | None = None
    strict: bool | None = None


class TextOptions(Struct, frozen=True):
    format: TextFormat = TextFormat("text")


class ResponseRequest(Struct, frozen=True, kw_only=True):
    model: str
    input: str | Annotated[list[Any], Meta(min_length=1, max_length=1000)]
    """A user's text, or the items of a conversation."""
    instructions: str | None = None
    max_output_tokens: Annotated[int, Meta(ge=1)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] = 1.0
    top_p: Annotated[float, Meta(gt=0, le=1)] = 1.0
    tools: Annotated[list[ResponseTool], Meta(max_length=128)] = []
    tool_choice: Literal["auto", "none", "required"] | NamedResponseTool = "auto"
    parallel_tool_calls: bool = True
    text: TextOptions = TextOptions()
    metadata: dict[str, str] = {}
    stream: bool = False


REFUSED_IN_RESPONSES: dict[str, Sequence[Any]] = {
    **REFUSED,
    "n": (1,),
    "stop": ([],),
    "seed": (),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "repetition_penalty": (1,),
    "logit_bias": ({},),
    "top_k": (-1, 0),
    "min_p": (0,),
    "ignore_eos": (False,),
    "previous_response_id": (),
    "conversation": (),
    "background": (False,),
    "prompt": (),
    "reasoning": ({}, {"effort": "none"}, {"effort": None, "summary": None}),
    "truncation": ("disabled",),
    "top_logprobs": (0,),
    "max_tool_calls": (),
}
"""Responses are not stored, so a conversation is sent as a whole; options of sampling are those of OpenAI's route."""
NAMES_IN_RESPONSES = {
    "messages": "input",
    "max_tokens": "max_output_tokens",
    "max_completion_tokens": "max_output_tokens",
    "response_format": "text.format",
}
"""Fields of chat completions -> what they are here."""


class OutputText(Struct, frozen=True):
    text: str
    type: Literal["output_text"] = "output_text"
    annotations: list[Any] = []
    logprobs: list[Any] = []


class OutputMessage(Struct, frozen=True, tag_field="type", tag="message"):
    id: str
    status: str
    content: list[OutputText]
    role: Literal["assistant"] = "assistant"


class OutputFunctionCall(Struct, frozen=True, tag_field="type", tag="function_call"):
    id: str
    call_id: str
    name: str
    arguments: str
    status: str


class InputTokensDetails(Struct, frozen=True):
    cached_tokens: int


class OutputTokensDetails(Struct, frozen=True):
    reasoning_tokens: int = 0


class ResponseUsage(Struct, frozen=True):
    input_tokens: int
    input_tokens_details: InputTokensDetails
    output_tokens: int
    output_tokens_details: OutputTokensDetails
    total_tokens: int


class IncompleteDetails(Struct, frozen=True):
    reason: Literal["max_output_tokens"] = "max_output_tokens"


class ModelResponse(Struct, frozen=True, kw_only=True):
    id: str
    object: Literal["response"] = "response"
    created_at: int
    status: Literal["in_progress", "completed", "incomplete"]
    error: None = None
    incomplete_details: IncompleteDetails | None = None
    instructions: str | None
    max_output_tokens: int | None
    model: str
    output: list[OutputMessage | OutputFunctionCall] = []
    parallel_tool_calls: bool
    previous_response_id: None = None
    store: Literal[False] = False
    temperature: float
    text: TextOptions
    tool_choice: Any
    tools: list[ResponseTool]
    top_p: float
    truncation: Literal["disabled"] = "disabled"
    usage: ResponseUsage | None = None
    metadata: dict[str, str]


class ResponseEvent(Struct, frozen=True, kw_only=True):
    """One event of a stream, with the fields of its type."""

    type: str
    sequence_number: int
    response: ModelResponse | UnsetType = UNSET
    output_index: int | UnsetType = UNSET
    item_id: str | UnsetType = UNSET
    content_index: int | UnsetType = UNSET
    item: OutputMessage | OutputFunctionCall | UnsetType = UNSET
    part: OutputText | UnsetType = UNSET
    delta: str | UnsetType = UNSET
    text: str | UnsetType = UNSET
    name: str | UnsetType = UNSET
    arguments: str | UnsetType = UNSET
    logprobs: list[Any] | UnsetType = UNSET
