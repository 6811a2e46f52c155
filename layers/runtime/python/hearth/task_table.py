"""The task table. Manifests, functions, protocols, golden answers, documents and tests derive from its rows."""

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
    "summaries",
    "texts",
    "rankings",
    "generated_texts",
    "detections",
    "tracks",
    "transcripts",
    "masks",
    "table",
    "table_scores",
    "tensors",
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
    "written_text",
    "ranking",
    "continuation",
    "segments",
    "table",
    "table_scores",
    "tensors",
]
Parts = Literal["words", "tiles", "segments", "columns"]


class TaskRow(Struct, frozen=True):
    id: str
    """The Hugging Face task id."""
    function: str
    """The folder below `functions/` with the task's code."""
    input: Literal["text", "image", "audio", "video", "table", "tensors"]
    heads: tuple[str, ...]
    """Kinds of `head` in the manifests of its models; an empty string: no head is needed."""
    codec: Codec
    """How inputs and outputs become tensors of the Open Inference Protocol: a key of
    `open_inference.signatures.CODECS`."""
    comparison: Comparison
    """How predictions are compared with golden answers: a key of `tasks.golden.COMPARISONS`."""
    parts: Parts | None = None
    """What the explanations of its answers give values to: a key of `tasks.explanation.parts.PARTS`; None: the task has
    no explanations."""
    models_of: tuple[str, ...] = ()
    """Other tasks whose models this task serves too; a detector can be used for tracking, for example."""

    @property
    def binary(self) -> bool:
        """Whether a request's body may be the input itself: the bytes of a picture, a recording or a video."""
        return self.input in ("image", "audio", "video")

    @property
    def preprocessing(self) -> str:
        """The kind of `preprocessing` in the manifest; videos are preprocessed as pictures, tensors not at all."""
        return {"video": "image", "tensors": ""}.get(self.input, self.input)


_ROWS = (
    TaskRow(
        "text-classification",
        "text_classification",
        "text",
        ("", "entailment"),
        "scores",
        "scores",
        parts="words",
        models_of=("zero-shot-classification",),
    ),
    TaskRow(
        "zero-shot-classification",
        "text_classification",
        "text",
        ("entailment",),
        "candidate_scores",
        "scores",
        parts="words",
        models_of=("text-classification",),
    ),
    TaskRow(
        "token-classification", "token_classification", "text", ("", "tagging"), "json", "token_labels", parts="words"
    ),
    TaskRow("fill-mask", "fill_mask", "text", ("mask",), "json", "word_guesses", parts="words"),
    TaskRow("question-answering", "question_answering", "text", ("spans",), "answers", "answer", parts="words"),
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
        parts="words",
        models_of=("feature-extraction",),
    ),
    TaskRow("text-generation", "text_generation", "text", ("decoder",), "generated_texts", "continuation"),
    TaskRow("text-ranking", "text_ranking", "text", ("ranking",), "rankings", "ranking", parts="words"),
    TaskRow("translation", "translation", "text", ("seq2seq",), "translations", "written_text", parts="words"),
    TaskRow("summarization", "summarization", "text", ("seq2seq",), "summaries", "written_text", parts="words"),
    TaskRow(
        "text2text-generation", "text2text_generation", "text", ("seq2seq",), "texts", "written_text", parts="words"
    ),
    TaskRow("image-classification", "image_classification", "image", ("",), "scores", "scores", parts="tiles"),
    TaskRow("object-detection", "object_detection", "image", ("detector",), "detections", "boxes", parts="tiles"),
    TaskRow(
        "object-tracking",
        "object_tracking",
        "video",
        ("detector",),
        "tracks",
        "tracks",
        models_of=("object-detection",),
    ),
    TaskRow(
        "zero-shot-image-classification",
        "image_embeddings",
        "image",
        ("contrastive",),
        "candidate_scores",
        "scores",
        parts="tiles",
        models_of=("image-feature-extraction",),
    ),
    TaskRow(
        "image-feature-extraction",
        "image_embeddings",
        "image",
        ("contrastive",),
        "vectors",
        "vectors",
        models_of=("zero-shot-image-classification",),
    ),
    TaskRow("image-segmentation", "image_segmentation", "image", ("segmenter",), "masks", "segments"),
    TaskRow(
        "automatic-speech-recognition",
        "speech_recognition",
        "audio",
        ("ctc", "whisper"),
        "transcripts",
        "transcript",
        parts="segments",
    ),
    TaskRow("tabular-classification", "tabular", "table", ("",), "table_scores", "table_scores", parts="columns"),
    TaskRow("tabular-regression", "tabular", "table", ("",), "table", "table", parts="columns"),
    TaskRow("tensors", "tensors", "tensors", ("",), "tensors", "tensors"),
)
TASKS: dict[str, TaskRow] = {row.id: row for row in _ROWS}
