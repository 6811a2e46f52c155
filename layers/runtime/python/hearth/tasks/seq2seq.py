"""Generation with encoder-decoders: what translation, summarization and text2text-generation share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta, Struct

from hearth.errors import TextTooLong
from hearth.models.heads import Seq2Seq
from hearth.models.model import Model
from hearth.models.preprocessing import TextPreprocessing
from hearth.ops.text.beam_search import DecoderStep, GenerationConfig, search
from hearth.ops.text.windows import list_texts, pad
from hearth.tasks.schema import ExplainOptions
from hearth.tasks.task import Prediction, Usage
from hearth.telemetry.timing import step

MAX_ROWS = 64
"""Largest number of beams of all texts generated at once, which bounds memory."""
TRUNCATING = "longest_first", "only_first"
"""Values of `truncation` that truncate a text. By default a text that is too long is refused, not read in part."""

EncoderDecoder = Model[TextPreprocessing, Seq2Seq]
Array = np.ndarray[Any, Any]
Truncation = Literal["do_not_truncate", "longest_first", "only_first", "only_second"]


class Generation(Struct, frozen=True, forbid_unknown_fields=True):
    num_beams: Annotated[int, Meta(ge=1, le=16)] | None = None
    length_penalty: Annotated[float, Meta(ge=-10, le=10)] | None = None
    max_new_tokens: Annotated[int, Meta(ge=1)] | None = None
    """At most the model's own maximum."""


class Parameters(Generation, frozen=True, forbid_unknown_fields=True, kw_only=True):
    truncation: Truncation | None = None
    clean_up_tokenization_spaces: bool = False
    """Remove a space before a full stop, a comma, a question or exclamation mark."""
    generate_parameters: Generation = Generation()
    """The same parameters, as huggingface_hub's client sends them."""
    explain: bool | ExplainOptions = False
    """Whether the response also says which words of the source made which words of the text."""


def encode(
    model: EncoderDecoder, inputs: str | list[str], truncation: Truncation | None, prefix: str = ""
) -> dict[str, Array]:
    """Token ids and mask, (texts that are not empty, longest) int64, of texts with `prefix` before each.

    Raises BadRequest, TextTooLong.
    """
    texts = list_texts(inputs, model.manifest.limits)
    encodings = model.tokenizer.encode_batch_fast([prefix + text for text in texts if text.strip()])
    if truncation not in TRUNCATING and any(encoding.overflowing for encoding in encodings):
        raise TextTooLong(
            f"A text has more than the {model.preprocessing.max_tokens} tokens that the model reads; send it in parts, "
            'or set `parameters.truncation` to "longest_first" to read its beginning'
        )
    return pad(encodings, model.preprocessing.pad_id)


def generate(
    model: EncoderDecoder, parameters: Parameters, feeds: dict[str, Array], forced_bos: int | None = None
) -> list[list[int]]:
    """Generate the tokens of each output. `forced_bos`: the first token, if it is not the model's own."""
    config = generation_config(model, parameters, forced_bos)
    size = max(1, MAX_ROWS // config.num_beams)
    tokens: list[list[int]] = []
    for start in range(0, len(feeds["input_ids"]), size):
        longest = feeds["attention_mask"][start : start + size].sum(1).max()
        batch = {name: values[start : start + size, :longest] for name, values in feeds.items()}
        tokens += search(start_decoder(model, batch), len(batch["input_ids"]), config)
    return tokens


def generation_config(model: EncoderDecoder, parameters: Parameters, forced_bos: int | None = None) -> GenerationConfig:
    head, nested = model.head, parameters.generate_parameters
    penalties = parameters.length_penalty, nested.length_penalty, head.length_penalty
    return GenerationConfig(
        decoder_start_token_id=head.start,
        eos_token_id=head.eos,
        max_new_tokens=min(parameters.max_new_tokens or nested.max_new_tokens or head.max_new, head.max_new),
        num_beams=parameters.num_beams or nested.num_beams or head.beams,
        length_penalty=next(penalty for penalty in penalties if penalty is not None),
        suppress_tokens=head.suppressed,
        forced_bos_token_id=head.forced_bos if forced_bos is None else forced_bos,
        forced_eos=head.forced_eos,
        min_new_tokens=head.min_new,
        no_repeat_ngram_size=head.no_repeat_ngram,
        repetition_penalty=head.repetition_penalty,
        early_stopping=head.early_stopping,
    )


def start_decoder(model: EncoderDecoder, feeds: dict[str, Array]) -> DecoderStep:
    """Run the encoder; the returned function runs one step of the decoder and keeps its caches."""
    head = model.head
    inputs = model.input_names["decoder"]
    cross_names, past_names = inputs[2 : 2 + 2 * head.layers], inputs[2 + 2 * head.layers :]
    mask, cross = feeds["attention_mask"], model.run(feeds)
    past = [np.zeros((len(mask), head.heads, 0, head.head_size), np.float32) for _ in past_names]

    def decoder_step(tokens: Array, rows: Array, sentences: Array) -> Array:
        nonlocal mask, cross, past
        if len(sentences) < len(mask):
            mask, cross = mask[sentences], [values[sentences] for values in cross]
        reordered = [values[rows] for values in past]
        caches = dict(zip([*cross_names, *past_names], [*cross, *reordered], strict=True))
        logits, *past = model.run({"input_ids": tokens[:, None], "attention_mask": mask, **caches}, "decoder")
        return logits

    return decoder_step


def decode(model: EncoderDecoder, inputs: str | list[str], clean_up: bool, outputs: Sequence[list[int]]) -> list[str]:
    """The text of each output, empty for an empty text of the request."""
    sources = [inputs] if isinstance(inputs, str) else inputs
    texts = iter(model.tokenizer.decode_batch(outputs))
    results = [next(texts) if source.strip() else "" for source in sources]
    return [clean_up_spaces(text) for text in results] if clean_up else results


def clean_up_spaces(text: str) -> str:
    for mark in ".,?!":
        text = text.replace(f" {mark}", mark)
    return text


def answer(
    model: EncoderDecoder,
    request: Any,
    encode: Callable[[EncoderDecoder, Any], dict[str, Array]],
    decode: Callable[[EncoderDecoder, Any, list[list[int]]], list[Any]],
    forced_bos: int | None = None,
) -> tuple[Prediction, list[list[int]]]:
    """The response of a task with its `encode` and `decode`, and the tokens of each text.

    `forced_bos`: as in `generate`.
    Raises BadRequest, PayloadTooLarge.
    """
    with step("encode"):
        feeds = encode(model, request)
    with step("run"):
        outputs = generate(model, request.parameters, feeds, forced_bos)
    with step("decode"):
        response = decode(model, request, outputs)
    input_tokens = int(np.count_nonzero(feeds["attention_mask"]))
    usage = Usage(len(response), input_tokens, output_tokens=sum(map(len, outputs)))
    return Prediction(response, usage), outputs
