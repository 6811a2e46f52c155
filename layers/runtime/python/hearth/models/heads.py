"""How the outputs of the graphs are decoded, beyond labels and activation, as the manifest says it for each task."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, field

from hearth.models.fields import FilePath, Index, Positive, Strict


class Entailment(Strict, frozen=True, tag="entailment", tag_field="kind"):
    """Zero-shot classification: the indices of a natural-language-inference model's labels."""

    entailment: Index
    contradiction: Index


class Ranking(Strict, frozen=True, tag="ranking", tag_field="kind"):
    """A cross-encoder: one logit for a query and a text, which is the higher the better the text fits."""


class Tagging(Strict, frozen=True, tag="tagging", tag_field="kind"):
    """One label per token; longer texts are read in windows that share `stride` tokens."""

    stride: Index = 0


class Mask(Strict, frozen=True, tag="mask", tag_field="kind"):
    """The model predicts masked tokens."""

    token_id: Index


class Spans(Strict, frozen=True, tag="spans", tag_field="kind"):
    """Start and end logits per token; longer contexts are read in windows that share `stride` tokens."""

    stride: Index = 128
    max_answer: Positive = 15
    """Largest number of tokens of an answer."""


class Pooling(Strict, frozen=True, tag="pooling", tag_field="kind"):
    """Pools one vector per token into one per text."""

    method: Literal["mean", "cls", "none"]
    """`none`: the graph gives one vector per text already."""
    normalise: bool
    dimensions: Positive
    words: bool = False
    """Whether the vectors are of single words, without context: they have neighbours and analogies."""
    prompts: dict[str, str] = field(default_factory=dict)
    """Texts that a request can have put before each of its texts, by name."""
    default_prompt: str | None = None
    """The name of the prompt for requests that name none."""


class Decoder(Strict, frozen=True, tag="decoder", tag_field="kind"):
    """A causal language model with one key-value buffer per layer."""

    layers: Positive
    kv_heads: Positive
    head_size: Positive
    context: Positive
    """Largest number of tokens of prompt and answer together."""
    eos: tuple[int, ...] = ()
    bos: int | None = None
    chat_template: FilePath | None = None
    """A Jinja template among `resources`."""
    reusable: bool = False
    """Whether a token's keys and values do not depend on what is read with it, so that other texts may reuse them: with
    one scale for the activations of several tokens they do."""


class Seq2Seq(Strict, frozen=True, tag="seq2seq", tag_field="kind"):
    """An encoder (`main`) and a decoder with self- and cross-attention caches."""

    layers: Positive
    heads: Positive
    head_size: Positive
    start: Index
    """The decoder's start token."""
    eos: Index
    max_new: Positive
    beams: Positive = 1
    length_penalty: float = 1.0
    source: tuple[str, ...] = ()
    """Language codes of the sources."""
    target: tuple[str, ...] = ()
    """Language codes of the translations."""
    language_ids: dict[str, Index] = field(default_factory=dict)
    """The token of each language, for models that read one in the source and begin their output with one. The sources
    of the tokenizer are in the first language of `source`."""
    prefix: str = ""
    """What is put before each text, such as T5's `summarize: `."""
    suppressed: tuple[Index, ...] | None = None
    """Tokens that are never generated; None: the start token."""
    forced_bos: Index | None = None
    """The first token of each output."""
    forced_eos: bool = True
    """Whether an output of the largest length ends with the end token."""
    min_new: Index = 0
    """Smallest number of tokens before the end token."""
    no_repeat_ngram: Index = 0
    """Length of the sequences of tokens that never occur twice in an output; 0: no such limit."""
    repetition_penalty: Annotated[float, Meta(gt=0)] = 1.0
    early_stopping: bool = False
    """Whether a search ends as soon as it has as many finished sequences as beams."""


class Detector(Strict, frozen=True, tag="detector", tag_field="kind"):
    """What a row of the output is: a `grid` cell that must be decoded; `boxes` (centre, size) or `corners`, each with a
    score per label; or `selected` (corners, score, label), which the graph has chosen itself."""

    form: Literal["grid", "boxes", "corners", "selected"]
    strides: tuple[Positive, ...] = ()
    threshold: Annotated[float, Meta(ge=0, le=1)] = 0.25
    iou: Annotated[float, Meta(ge=0, le=1)] = 0.5
    """Of two boxes of a class that overlap more, the one with the lower score is dropped; 1 drops none."""
    normalised: bool = False
    """Whether boxes are in fractions of the canvas instead of its pixels."""
    multi_label: bool = False
    """Whether a box counts for each label whose score reaches the threshold, or for the best one alone."""


class Segmenter(Strict, frozen=True, tag="segmenter", tag_field="kind"):
    """Logits (batch, labels, height, width), which are resized to the picture."""


class Contrastive(Strict, frozen=True, tag="contrastive", tag_field="kind"):
    """Vectors of pictures (graph `main`) and of texts (graph `text`, where there is one) in one space."""

    dimensions: Positive
    tokenizer: FilePath | None = None
    """A `tokenizers` JSON file. None: there is no graph `text`."""
    max_tokens: Positive = 77
    pad_id: int = 0
    fixed_length: bool = False
    """Whether every text is padded to `max_tokens`."""
    scale: float = 1.0
    bias: float = 0.0
    """scale * cosine + bias is the logit of a picture and a text."""
    template: str = "This is a photo of {}."
    """The sentence that stands for a label; {} is replaced by it."""


class Whisper(Strict, frozen=True, tag="whisper", tag_field="kind"):
    """An encoder (`main`) of 30-second windows, a decoder of its first tokens, `prompt`, and one of each further token,
    `decoder`, with key-value caches."""

    tokenizer: FilePath
    max_tokens: Positive
    """Largest number of tokens of a window, its prompt included."""
    layers: Positive
    heads: Positive
    head_size: Positive
    start: Index
    eos: Index
    timestamps: Index | None
    """The token of the time 0.00; each further one is 0.02 seconds later. None: there are none."""
    no_timestamps: Index | None
    no_speech: Index | None = None
    previous: Index | None = None
    """The token before the text of the window before."""
    languages: dict[str, int] = field(default_factory=dict)
    """Language codes and their tokens; empty: an English model without such tokens."""
    tasks: dict[str, int] = field(default_factory=dict)
    """The tokens of `transcribe` and `translate`."""
    suppressed: tuple[int, ...] = ()
    """Tokens that are never generated."""
    suppressed_first: tuple[int, ...] = ()
    """Tokens with which no text begins."""


class Ctc(Strict, frozen=True, tag="ctc", tag_field="kind"):
    """Log-probabilities of `labels` (characters) per frame."""

    blank: Index
    stride: Positive = 1
    """Feature frames per output frame."""
    chunk_seconds: Annotated[float, Meta(ge=1)] = 20.0
    """Longer recordings are processed in overlapping chunks of this length."""
    language: str = ""
    """Code of the spoken language, such as `en`; empty: unknown."""
    margin_seconds: Annotated[float, Meta(ge=0, le=10)] = 0.0
    """Silence added before and after a recording: tightly cut words are recognised badly without it."""
    beams: Positive = 1
    """Default number of beams; 1: greedy decoding."""
    language_model: FilePath | None = None
    """An ARPA file of character n-grams among `resources`."""
    language_weight: float = 0.5
    letter_bonus: float = 0.0
    """Added to each letter's score with a language model, which by itself would prefer short texts."""


Head = (
    Entailment
    | Ranking
    | Tagging
    | Mask
    | Spans
    | Pooling
    | Decoder
    | Seq2Seq
    | Detector
    | Segmenter
    | Contrastive
    | Whisper
    | Ctc
)
