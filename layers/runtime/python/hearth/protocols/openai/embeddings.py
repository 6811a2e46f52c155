"""POST /v1/embeddings."""

from __future__ import annotations

import base64
import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from hearth import strict_json
from hearth.errors import BadRequest, TextTooLong
from hearth.models.model import Model
from hearth.protocols.base import Request, Response
from hearth.protocols.openai import common
from hearth.tasks.task import Usage

if TYPE_CHECKING:
    from tokenizers import Tokenizer

MAX_TEXTS = 2048


REFUSED: dict[str, Sequence[Any]] = {
    "truncate_prompt_tokens": (),
    "prompt": ("",),
    "prompt_name": ("",),
    "instruction": ("",),
    "late_chunking": (False,),
}
"""Fields of other servers that change the vectors, and the values with which they do not."""


class EmbeddingRequest(Struct, frozen=True):
    model: str
    input: str | list[Any]
    """A text, or its token ids as the model's own tokenizer makes them; or a list of either."""
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: Annotated[int, Meta(ge=1)] | None = None
    truncate: bool | Literal["NONE", "START", "END"] = False
    """Whether to truncate a text that is too long, and at which side; by default it is refused."""


class Embedding(Struct, frozen=True):
    object: str
    index: int
    embedding: list[float] | str
    """Numbers, or base64 of little-endian float32 values."""


class EmbeddingUsage(Struct, frozen=True):
    prompt_tokens: int
    total_tokens: int


class EmbeddingResponse(Struct, frozen=True):
    object: str
    data: list[Embedding]
    model: str
    usage: EmbeddingUsage


def create_embedding(request: Request) -> Response:
    document = common.read(request, EmbeddingRequest, REFUSED)
    task, model = common.open_model(request, document.model, "feature-extraction")
    inputs = [document.input] if isinstance(document.input, str) or _are_tokens(document.input) else document.input
    if not inputs or not all(isinstance(item, str) or _are_tokens(item) for item in inputs):
        raise BadRequest("`input` must be a text, a list of token ids, or a list of either", param="input")
    if "" in inputs:
        raise BadRequest("`input` must not be an empty text", param="input")
    if len(inputs) > MAX_TEXTS:
        raise BadRequest(f"`input` has {len(inputs)} texts; {MAX_TEXTS} are allowed", param="input")
    texts = [item if isinstance(item, str) else text_of_tokens(model, item) for item in inputs]
    options = {
        "dimensions": document.dimensions,
        "truncate": document.truncate not in (False, "NONE"),
        "truncation_direction": "left" if document.truncate == "START" else "right",
    }
    batch = model.manifest.limits.batch
    vectors: list[list[float]] = []
    usage = Usage(items=0)
    try:
        for start in range(0, len(texts), batch):
            fields = {"inputs": texts[start : start + batch], **options}
            with common.context_length_errors(model, "input"):
                prediction = task.predict(model, strict_json.convert(fields, task.request))
            vectors += prediction.output
            usage.add(prediction.usage)
    except BadRequest as error:
        if error.param is not None:
            raise
        raise common.with_param(error, "dimensions" if "`dimensions`" in error.message else "input") from None
    data = [
        Embedding("embedding", index, _encode(vector, document.encoding_format)) for index, vector in enumerate(vectors)
    ]
    tokens = EmbeddingUsage(usage.input_tokens, usage.input_tokens)
    return Response(msgspec.json.encode(EmbeddingResponse("list", data, document.model, tokens)), usage=usage)


def _are_tokens(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(type(token) is int for token in value)


def text_of_tokens(model: Model[Any, Any], tokens: list[int]) -> str:
    """The text that the model's tokenizer turns into exactly these tokens, special tokens included.

    Special tokens at the ends are what tells these tokens from those of another tokenizer, such as OpenAI's. Raises
    BadRequest for other tokens, TextTooLong.
    """
    tokenizer = model.tokenizer
    with common.context_length_errors(model, "input"):
        if len(tokens) > common.context_length(model):
            raise TextTooLong(f"`input` has {len(tokens)} tokens", tokens=len(tokens))
    is_marked = tokenizer.num_special_tokens_to_add(False) > 0
    if is_marked and all(0 <= token < tokenizer.get_vocab_size() for token in tokens):
        text = _decode(tokenizer, tokens)
        if tokenizer.encode(text).ids == tokens:
            return text
    raise BadRequest(
        "These token ids are not those of this model's tokenizer, special tokens included; send the texts themselves "
        "(LangChain: check_embedding_ctx_length=False)",
        param="input",
    )


def _decode(tokenizer: Tokenizer, tokens: list[int]) -> str:
    """The text of tokens. Encoders often have no decoder, because no one else needs it."""
    prefix = getattr(tokenizer.model, "continuing_subword_prefix", None)
    if tokenizer.decoder is not None or not prefix:
        return str(tokenizer.decode(tokens, skip_special_tokens=True))
    from tokenizers.decoders import WordPiece

    special = {added.content for added in tokenizer.get_added_tokens_decoder().values() if added.special}
    special.discard(tokenizer.model.unk_token)  # an unknown word is a part of the text
    words = (str(tokenizer.id_to_token(token)) for token in tokens)
    decoder = WordPiece(prefix=prefix, cleanup=False)
    return str(decoder.decode([word for word in words if word not in special]))


def _encode(vector: list[float], encoding_format: str) -> list[float] | str:
    if encoding_format == "float":
        return vector
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
