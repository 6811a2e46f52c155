"""translation: translates texts from one language into another."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta, Struct

from hearth.aws_lambda.handler import create_handler
from hearth.errors import BadRequest, TextTooLong
from hearth.models.manifest import Seq2Seq, TextPreprocessing
from hearth.models.model import Model
from hearth.ops.text.beam_search import DecoderStep, GenerationConfig, search
from hearth.ops.text.windows import list_texts, pad
from hearth.tasks.task import Prediction, Task, Usage
from hearth.telemetry.timing import step

MAX_ROWS = 64
"""Largest number of beams of all texts generated at once, which bounds memory."""
TRUNCATING = "longest_first", "only_first"
"""Values of `truncation` that truncate a text. By default a text that is too long is refused, not translated in
part."""

Translator = Model[TextPreprocessing, Seq2Seq]
Array = np.ndarray[Any, Any]


class Generation(Struct, frozen=True, forbid_unknown_fields=True):
    num_beams: Annotated[int, Meta(ge=1, le=16)] | None = None
    length_penalty: Annotated[float, Meta(ge=-10, le=10)] | None = None
    max_new_tokens: Annotated[int, Meta(ge=1)] | None = None
    """At most the model's own maximum."""


class Parameters(Generation, frozen=True, forbid_unknown_fields=True):
    src_lang: str | None = None
    tgt_lang: str | None = None
    truncation: Literal["do_not_truncate", "longest_first", "only_first", "only_second"] | None = None
    clean_up_tokenization_spaces: bool = False
    """Remove a space before a full stop, a comma, a question or exclamation mark."""
    generate_parameters: Generation = Generation()
    """The same parameters, as huggingface_hub's client sends them."""


class Request(Struct, frozen=True, forbid_unknown_fields=True):
    inputs: str | list[str]
    parameters: Parameters = Parameters()


class Translation(Struct, frozen=True):
    translation_text: str


Response = list[Translation]
"""One translation per text, in order."""


def encode(model: Translator, request: Request) -> dict[str, Array]:
    """Token ids and mask, (texts that are not empty, longest) int64. Raises BadRequest, TextTooLong."""
    texts = list_texts(request.inputs, model.manifest.limits)
    token = language_token(model, request.parameters)
    encodings = model.tokenizer.encode_batch_fast([with_token(text, token) for text in texts if text.strip()])
    if request.parameters.truncation not in TRUNCATING and any(encoding.overflowing for encoding in encodings):
        raise TextTooLong(
            f"A text has more than the {model.preprocessing.max_tokens} tokens that the model reads; send it sentence "
            'by sentence, or set `parameters.truncation` to "longest_first" to translate its beginning'
        )
    return pad(encodings, model.preprocessing.pad_id)


def generate(model: Translator, request: Request, feeds: dict[str, Array]) -> list[list[int]]:
    """Generate the tokens of each translation."""
    config = generation_config(model, request.parameters)
    size = max(1, MAX_ROWS // config.num_beams)
    tokens: list[list[int]] = []
    for start in range(0, len(feeds["input_ids"]), size):
        longest = feeds["attention_mask"][start : start + size].sum(1).max()
        batch = {name: values[start : start + size, :longest] for name, values in feeds.items()}
        tokens += search(start_decoder(model, batch), len(batch["input_ids"]), config)
    return tokens


def generation_config(model: Translator, parameters: Parameters) -> GenerationConfig:
    head, nested = model.head, parameters.generate_parameters
    penalties = parameters.length_penalty, nested.length_penalty, head.length_penalty
    return GenerationConfig(
        decoder_start_token_id=head.start,
        eos_token_id=head.eos,
        max_new_tokens=min(parameters.max_new_tokens or nested.max_new_tokens or head.max_new, head.max_new),
        num_beams=parameters.num_beams or nested.num_beams or head.beams,
        length_penalty=next(penalty for penalty in penalties if penalty is not None),
    )


def start_decoder(model: Translator, feeds: dict[str, Array]) -> DecoderStep:
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


def decode(model: Translator, request: Request, outputs: list[list[int]]) -> Response:
    sources = [request.inputs] if isinstance(request.inputs, str) else request.inputs
    texts = iter(model.tokenizer.decode_batch(outputs))
    translations = [next(texts) if source.strip() else "" for source in sources]
    if request.parameters.clean_up_tokenization_spaces:
        translations = [clean_up_spaces(text) for text in translations]
    return [Translation(text) for text in translations]


def language_token(model: Translator, parameters: Parameters) -> str:
    """The token of the target language with which texts begin, if the model has one. Raises BadRequest."""
    head = model.head
    find_language(parameters.src_lang, "src_lang", "from", head.source)
    target = find_language(parameters.tgt_lang, "tgt_lang", "into", head.target)
    token = f">>{target}<<"
    return token if target and model.tokenizer.token_to_id(token) is not None else ""


def find_language(requested: str | None, parameter: str, direction: str, languages: tuple[str, ...]) -> str:
    """The first matching language (`zh` matches zh-Hans), or the first one by default. Raises BadRequest."""
    if requested is None or not languages:
        return requested or next(iter(languages), "")
    for language in languages:
        if language == requested or language.startswith(f"{requested}-"):
            return language
    raise BadRequest(
        f"This model does not translate {direction} that language; `parameters.{parameter}` can be: "
        f"{', '.join(languages)}"
    )


def with_token(text: str, token: str) -> str:
    """Put the language token before `text`, unless it begins with one already."""
    return text if not token or text.lstrip().startswith(">>") else f"{token} {text}"


def clean_up_spaces(text: str) -> str:
    for mark in ".,?!":
        text = text.replace(f" {mark}", mark)
    return text


def predict(model: Translator, request: Request) -> Prediction:
    with step("encode"):
        feeds = encode(model, request)
    with step("run"):
        outputs = generate(model, request, feeds)
    with step("decode"):
        response = decode(model, request, outputs)
    input_tokens = int(np.count_nonzero(feeds["attention_mask"]))
    return Prediction(response, Usage(len(response), input_tokens, sum(map(len, outputs))))


TASKS = (Task("translation", Request, Response, predict, {"inputs": "Two children are playing in the park."}),)
handler = create_handler(TASKS)
