"""Requests and responses of POST /v1/completions and /v1/chat/completions, whole or streamed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

MAX_CHOICES = 128
"""Largest number of texts of a request, over all of its prompts."""
FINISH_REASONS = {"length": "length", "eos_token": "stop", "stop_sequence": "stop"}

Penalty = Annotated[float, Meta(ge=-2, le=2)]
Text = Annotated[str, Meta(min_length=1)]


class StreamOptions(Struct, frozen=True):
    include_usage: bool = False


class GenerationRequest(Struct, frozen=True, kw_only=True):
    """Fields of both kinds of requests."""

    model: str
    temperature: Annotated[float, Meta(ge=0, le=2)] = 1.0
    top_p: Annotated[float, Meta(gt=0, le=1)] = 1.0
    n: Annotated[int, Meta(ge=1, le=MAX_CHOICES)] = 1
    stop: Text | Annotated[list[Text], Meta(max_length=4)] = []
    seed: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    presence_penalty: Penalty = 0.0
    frequency_penalty: Penalty = 0.0
    logit_bias: dict[str, Annotated[float, Meta(ge=-100, le=100)]] = {}
    top_k: Annotated[int, Meta(ge=-1)] | None = None
    """As in vLLM, like the following three: -1 and 0 mean all tokens."""
    min_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    repetition_penalty: Annotated[float, Meta(ge=0.01, le=10)] = 1.0
    ignore_eos: bool = False
    stream: bool = False
    stream_options: StreamOptions | None = None


class CompletionRequest(GenerationRequest, frozen=True, kw_only=True):
    prompt: str | list[Any]
    """A text, its token ids, or a list of either."""
    max_tokens: Annotated[int, Meta(ge=0)] = 16
    best_of: Annotated[int, Meta(ge=1, le=20)] | None = None
    logprobs: Annotated[int, Meta(ge=0, le=5)] | None = None
    echo: bool = False


class TextContentPart(Struct, frozen=True, tag_field="type", tag="text"):
    text: str


class RefusalContentPart(Struct, frozen=True, tag_field="type", tag="refusal"):
    refusal: str


class ChatFunctionCall(Struct, frozen=True):
    name: str
    arguments: str
    """A JSON object as text."""


class ChatToolCall(Struct, frozen=True):
    id: str
    function: ChatFunctionCall
    type: Literal["function"] = "function"
    index: int | UnsetType = UNSET
    """Number of the call in a streamed answer."""


class ChatMessage(Struct, frozen=True):
    """A message, or a former answer as it was sent, with fields that are null or empty."""

    role: Literal["developer", "system", "user", "assistant", "tool"]
    content: str | list[TextContentPart | RefusalContentPart] | None = None
    refusal: str | None = None
    tool_calls: Annotated[list[ChatToolCall], Meta(max_length=128)] | None = None
    tool_call_id: str | None = None
    name: str | None = None
    function_call: None = None
    audio: None = None


class NamedFunction(Struct, frozen=True):
    name: str


class NamedToolChoice(Struct, frozen=True):
    function: NamedFunction
    type: Literal["function"] = "function"


class JsonSchema(Struct, frozen=True):
    name: Annotated[str, Meta(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
    schema: dict[str, Any] = {}
    description: str | None = None
    strict: bool | None = None


class ResponseFormat(Struct, frozen=True):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class ChatFunction(Struct, frozen=True, omit_defaults=True):
    name: Annotated[str, Meta(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
    description: str | None = None
    parameters: dict[str, Any] | None = None
    """A JSON schema."""
    strict: bool | None = None


class ChatTool(Struct, frozen=True):
    function: ChatFunction
    type: Literal["function"]


Tools = Annotated[list[ChatTool], Meta(max_length=128)]


class ChatCompletionRequest(GenerationRequest, frozen=True, kw_only=True):
    messages: Annotated[list[ChatMessage], Meta(min_length=1, max_length=1000)]
    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Meta(ge=1)] | None = None
    logprobs: bool = False
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    response_format: ResponseFormat | None = None
    tools: Tools = []
    tool_choice: Literal["auto", "none", "required"] | NamedToolChoice = "auto"
    parallel_tool_calls: bool = True


REFUSED: dict[str, Sequence[Any]] = {
    "top_a": (0,),
    "typical_p": (1,),
    "length_penalty": (1,),
    "min_tokens": (0,),
    "use_beam_search": (False,),
    "stop_token_ids": ([],),
    "bad_words": ([],),
    "allowed_token_ids": ([],),
    "logits_processors": ([],),
    "truncate_prompt_tokens": (),
    "prompt_logprobs": (),
    "structured_outputs": ({},),
    "guided_json": (),
    "guided_regex": (),
    "guided_choice": (),
    "guided_grammar": (),
    "grammar": (),
}
"""Fields of other servers that change the answer, and the values with which they do not."""
REFUSED_IN_COMPLETIONS: dict[str, Sequence[Any]] = {**REFUSED, "suffix": ("",), "response_format": ({"type": "text"},)}
REFUSED_IN_CHAT: dict[str, Sequence[Any]] = {
    **REFUSED,
    "functions": ([],),
    "function_call": ("none", "auto"),
    "modalities": (["text"],),
    "audio": (),
    "web_search_options": (),
    "echo": (False,),
    "best_of": (1,),
    "continue_final_message": (False,),
    "add_generation_prompt": (True,),
    "chat_template": (),
    "chat_template_kwargs": ({},),
    "documents": ([],),
    "reasoning_effort": ("none",),
}


class PromptTokensDetails(Struct, frozen=True):
    cached_tokens: int
    """Tokens whose keys and values were there from an earlier request."""


class CompletionUsage(Struct, frozen=True):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails


class CompletionLogprobs(Struct, frozen=True):
    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None] | None
    text_offset: list[int]


class TopLogprob(Struct, frozen=True):
    token: str
    logprob: float
    bytes: list[int]


class TokenLogprob(TopLogprob, frozen=True):
    top_logprobs: list[TopLogprob]


class ChatLogprobs(Struct, frozen=True):
    content: list[TokenLogprob]
    refusal: None = None


class CompletionChoice(Struct, frozen=True):
    index: int
    text: str
    logprobs: CompletionLogprobs | None
    finish_reason: str | None


class Completion(Struct, frozen=True):
    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    choices: list[CompletionChoice]
    usage: CompletionUsage | None


class ChatResponseMessage(Struct, frozen=True):
    role: str
    content: str | None
    refusal: None = None
    tool_calls: list[ChatToolCall] | UnsetType = UNSET


class ChatChoice(Struct, frozen=True):
    index: int
    message: ChatResponseMessage
    logprobs: ChatLogprobs | None
    finish_reason: str


class ChatCompletion(Struct, frozen=True):
    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[ChatChoice]
    usage: CompletionUsage


class ChatDelta(Struct, frozen=True, omit_defaults=True):
    role: str | None = None
    content: str | None = None
    tool_calls: list[ChatToolCall] | None = None


class ChatChunkChoice(Struct, frozen=True):
    index: int
    delta: ChatDelta
    logprobs: ChatLogprobs | None = None
    finish_reason: str | None = None


class ChatCompletionChunk(Struct, frozen=True):
    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    choices: list[ChatChunkChoice]
    usage: CompletionUsage | None = None
