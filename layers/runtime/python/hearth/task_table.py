"""The tasks: one row each, from which manifests, functions, protocols, golden answers, documents and tests derive."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Codec = Literal[
    "json",
    "scores",
    "candidate_scores",
    "answers",
    "vectors",
    "similarities",
    "translations",
    "generated_texts",
    "detections",
    "tracks",
    "transcripts",
]
Comparison = Literal[
    "scores",
    "token_labels",
    "word_guesses",
    "answer",
    "vectors",
    "boxes",
    "tracks",
    "transcript",
    "translation",
    "continuation",
]


class TaskRow(Struct, frozen=True):
    id: str
    """As Hugging Face spells it."""
    function: str
    """The folder below `functions/` that answers it."""
    input: Literal["text", "image", "audio", "video"]
    heads: tuple[str, ...]
    """Kinds of `head` that the manifest of such a model has; an empty string: none is needed."""
    codec: Codec
    """How the Open Inference Protocol shows inputs and outputs: a key of `open_inference.codecs.CODECS`."""
    comparison: Comparison
    """How a golden answer is compared with one given now: a key of `tasks.golden.COMPARISONS`."""
    models_of: tuple[str, ...] = ()
    """Other tasks whose models answer this one too, as a detector can be asked for tracks."""

    @property
    def binary(self) -> bool:
        """Whether a request's body may be the input itself: the bytes of a picture, a recording or a film."""
        return self.input != "text"

    @property
    def preprocessing(self) -> str:
        """The kind of `preprocessing` that the manifest has: films are pictures, one after another."""
        return "image" if self.input == "video" else self.input


_ROWS = (
    TaskRow(
        "text-classification",
        "text_classification",
        "text",
        ("", "entailment"),
        "scores",
        "scores",
        models_of=("zero-shot-classification",),
    ),
    TaskRow(
        "zero-shot-classification",
        "text_classification",
        "text",
        ("entailment",),
        "candidate_scores",
        "scores",
        models_of=("text-classification",),
    ),
    TaskRow("token-classification", "token_classification", "text", ("", "tagging"), "json", "token_labels"),
    TaskRow("fill-mask", "fill_mask", "text", ("mask",), "json", "word_guesses"),
    TaskRow("question-answering", "question_answering", "text", ("spans",), "answers", "answer"),
    TaskRow(
        "feature-extraction",
        "embeddings",
        "text",
        ("pooling",),
        "vectors",
        "vectors",
        models_of=("sentence-similarity",),
    ),
    TaskRow(
        "sentence-similarity",
        "embeddings",
        "text",
        ("pooling",),
        "similarities",
        "vectors",
        models_of=("feature-extraction",),
    ),
    TaskRow("text-generation", "text_generation", "text", ("decoder",), "generated_texts", "continuation"),
    TaskRow("translation", "translation", "text", ("seq2seq",), "translations", "translation"),
    TaskRow("image-classification", "image_classification", "image", ("",), "scores", "scores"),
    TaskRow("object-detection", "object_detection", "image", ("detector",), "detections", "boxes"),
    TaskRow(
        "object-tracking",
        "object_tracking",
        "video",
        ("detector",),
        "tracks",
        "tracks",
        models_of=("object-detection",),
    ),
    TaskRow("automatic-speech-recognition", "speech_recognition", "audio", ("ctc",), "transcripts", "transcript"),
)
TASKS: dict[str, TaskRow] = {row.id: row for row in _ROWS}
