"""What a text encoder's configuration says about its task: labels, head, limits and golden inputs.

The same for every family and for both forms, safetensors and ONNX.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tokenizers import Tokenizer

from hearth.models.heads import Entailment, Head, Mask, Ranking, Spans, Tagging
from hearth.models.manifest import Limits
from hearth.models.preprocessing import TextPreprocessing
from hearth_build.importing import pooling
from hearth_build.importing.base import ImportOptions
from hearth_build.importing.source import Source
from hearth_build.importing.text_tokenizer import TextTokenizer
from hearth_build.recipe import RecipeError

TEXTS = (
    "A wonderful film, I loved every minute of it.",
    "The room was dirty and nobody answered our calls.",
    "Can you tell me when the next train leaves?",
    "我非常喜欢这个电影",
    "The parcel came two days late, but the shop was kind about it and paid the postage back at once.",
)
"""Golden inputs: an import has no dev set, so the torch model and the served graph are compared on these."""
CONTEXT = (
    "The mill stands by the river since 1873. Anna Berg bought it from her uncle and made it a hotel of ten rooms."
)
QUESTIONS = ("Who bought the mill?", "How many rooms are there?")
NAMES = "Anna Berg took the night train from Oslo to Berlin, where she works for Siemens."
SENTENCES = (
    "A man is playing the guitar.",
    ["A man is playing the guitar.", "Somebody plays an instrument."],
    ["How do I reset my password?", "I forgot my login, what can I do?"],
    ["Two dogs run through the snow.", "The bank raised its interest rates."],
)
"""A text, whose vectors are compared, and pairs of texts, whose similarities are compared."""
DEFAULT_TOKENS = 512
TASK_OF_CLASS = {
    "ForSequenceClassification": "text-classification",
    "ForTokenClassification": "token-classification",
    "ForMaskedLM": "fill-mask",
    "ForPreTraining": "fill-mask",
    "ForQuestionAnswering": "question-answering",
    "Model": "feature-extraction",
}
"""By the end of the saved class's name."""


@dataclass(frozen=True)
class TextTask:
    """How a model of a text task is served."""

    task: str
    golden: Sequence[Any]
    outputs: tuple[str, ...] = ("logits",)
    """What the graph gives."""
    has_pairs: bool = False
    """Whether the graph reads pairs of texts, and so the types of tokens."""
    head: Head | None = None
    labels: tuple[str, ...] = ()
    activation: str = "softmax"

    def conclusion(self) -> str:
        """What was concluded, for the user."""
        labels = f", {len(self.labels)} labels ({', '.join(self.labels[:6])})" if self.labels else ""
        activation = f", {self.activation}" if self.labels and self.head is None else ""
        return f"concluded the task: {self.task}{labels}{activation} (--task)"


OTHER_MEDIA = ("vision_config", "image_size", "num_channels", "conv_dim", "num_mel_bins", "sampling_rate")
"""Fields of config.json that models of pictures and sound have."""


def is_text_encoder(source: Source, options: ImportOptions) -> bool:
    """Whether a folder's class, its modules.json or --task says that it is a text encoder."""
    if not source.config or any(name in source.config for name in OTHER_MEDIA):
        return False
    if source.config.get("is_encoder_decoder"):
        return is_classifier(source)
    if options.task in READERS or source.model_type == "sentence-transformers":
        return True
    names = source.config.get("architectures") or [""]
    has_text = any(name in source.config for name in ("vocab_size", "num_tokens"))
    return has_text and any(str(names[0]).endswith(ending) for ending in TASK_OF_CLASS)


def is_classifier(source: Source) -> bool:
    """Whether an encoder-decoder classifies texts, as the BART that is often used for zero-shot classification."""
    return str((source.config.get("architectures") or [""])[0]).endswith("ForSequenceClassification")


def read_task(source: Source, options: ImportOptions, tokenizer: Tokenizer, hidden: int) -> TextTask:
    """The task of a folder, by its class and by --task. `hidden`: the size of a token's vector. Raises RecipeError."""
    if source.model_type == "sentence-transformers":
        return embeddings(source, options, tokenizer, hidden)
    if options.task in READERS:
        return READERS[options.task](source, options, tokenizer, hidden)
    name = source.architecture
    ending = next((ending for ending in TASK_OF_CLASS if name.endswith(ending)), None)
    if ending is None:
        raise RecipeError(f"{source.path} has a {name}, which is none of {', '.join(TASK_OF_CLASS)}.")
    read = READERS[TASK_OF_CLASS[ending]]
    return read(source, options, tokenizer, hidden)


def sequence_classification(source: Source, options: ImportOptions, tokenizer: Tokenizer, hidden: int) -> TextTask:
    """A classifier; one label alone ranks pairs of texts, and a label `entailment` makes it a zero-shot classifier."""
    labels = source.labels
    problem = source.config.get("problem_type")
    if problem == "regression":
        activation = "none"
    else:
        activation = "sigmoid" if problem == "multi_label_classification" or len(labels) == 1 else "softmax"
    entailment = [index for index, label in enumerate(labels) if label.lower().startswith("entail")]
    if entailment and options.task != "text-classification":
        contradiction = [index for index, label in enumerate(labels) if label.lower().startswith("contradict")]
        if not contradiction:
            # transformers takes the first label, or the last if the first one is entailment.
            contradiction = [len(labels) - 1 if entailment[0] == 0 else 0]
        return TextTask(
            "zero-shot-classification",
            [{"inputs": text, "candidate_labels": ["praise", "complaint", "question"]} for text in TEXTS],
            has_pairs=True,
            head=Entailment(entailment[0], contradiction[0]),
            labels=labels,
        )
    if options.task == "zero-shot-classification":
        raise RecipeError(
            f"{source.path} has no label `entailment` ({', '.join(labels)}); zero-shot classification needs a model of "
            "natural language inference."
        )
    if len(labels) == 1 and problem != "regression" and options.task != "text-classification":
        golden = [{"query": query, "texts": list(TEXTS[:3])} for query in ("Was the film good?", "When is the train?")]
        return TextTask("text-ranking", golden, has_pairs=True, head=Ranking(), labels=labels, activation="sigmoid")
    if options.task == "text-ranking":
        raise RecipeError(f"{source.path} has {len(labels)} labels; a model that ranks texts has one.")
    return TextTask("text-classification", TEXTS, labels=labels, activation=activation)


def token_classification(source: Source, options: ImportOptions, tokenizer: Tokenizer, hidden: int) -> TextTask:
    stride = min(128, max_tokens(source) // 4)
    return TextTask("token-classification", (NAMES, *TEXTS), head=Tagging(stride), labels=source.labels)


def masked_language_model(source: Source, options: ImportOptions, tokenizer: Tokenizer, hidden: int) -> TextTask:
    token = special_token(source, "mask_token") or "[MASK]"
    mask_id = tokenizer.token_to_id(token)
    if mask_id is None:
        raise RecipeError(f"{source.folder}/tokenizer.json does not contain the mask token {token!r}.")
    texts = (f"A wonderful {token}, I loved every minute of it.", f"Can you tell me {token} the next train leaves?")
    return TextTask("fill-mask", texts, head=Mask(mask_id))


def question_answering(source: Source, options: ImportOptions, tokenizer: Tokenizer, hidden: int) -> TextTask:
    return TextTask(
        "question-answering",
        [{"question": question, "context": CONTEXT} for question in QUESTIONS],
        outputs=("start_logits", "end_logits"),
        has_pairs=True,
        head=Spans(stride=min(128, max_tokens(source) // 4)),
    )


def embeddings(source: Source, options: ImportOptions, tokenizer: Tokenizer, hidden: int) -> TextTask:
    """Embeddings as modules.json describes them; a bare model's are the mean of its tokens, or as --pooling says."""
    head = pooling.read_head(source, options, hidden)
    return TextTask("feature-extraction", SENTENCES, outputs=("tokens",), head=head)


READERS: dict[str, Callable[[Source, ImportOptions, Tokenizer, int], TextTask]] = {
    "text-classification": sequence_classification,
    "zero-shot-classification": sequence_classification,
    "text-ranking": sequence_classification,
    "token-classification": token_classification,
    "fill-mask": masked_language_model,
    "question-answering": question_answering,
    "feature-extraction": embeddings,
}


def recipe_fields(source: Source, task: TextTask, tokenizer: TextTokenizer) -> dict[str, Any]:
    """The fields of the recipe that do not depend on the form of the weights."""
    pad = source.config.get("pad_token_id") if tokenizer.pad_id is None else tokenizer.pad_id
    return {
        "task": task.task,
        "golden": lambda: task.golden,
        "preprocessing": TextPreprocessing(tokenizer="tokenizer.json", max_tokens=max_tokens(source), pad_id=pad or 0),
        "head": task.head,
        "labels": task.labels,
        "activation": task.activation,
        "limits": Limits(batch=64, characters=20_000),
    }


def max_tokens(source: Source) -> int:
    """The longest text, from the file of sentence-transformers, of the tokenizer, or of the model.

    RoBERTa's positions begin after the padding token's, so two of them are never used.
    """
    config = source.config
    positions = config.get("max_position_embeddings") or config.get("n_positions") or config.get("max_source_positions")
    if isinstance(positions, int) and config.get("model_type") in OFFSET_POSITIONS:
        positions -= (config.get("pad_token_id") or 0) + 1
    limits = [
        positions,
        source.read_json("sentence_bert_config.json").get("max_seq_length"),
        source.read_json("tokenizer_config.json").get("model_max_length"),
    ]
    # transformers writes 1e30 for no limit.
    known = [int(limit) for limit in limits if isinstance(limit, int | float) and 0 < limit < 1e9]
    return min(known) if known else DEFAULT_TOKENS


OFFSET_POSITIONS = (
    "roberta",
    "xlm-roberta",
    "xlm-roberta-xl",
    "camembert",
    "roberta-prelayernorm",
    "longformer",
    "mpnet",
    "data2vec-text",
    "ibert",
    "xmod",
    "esm",
)
"""Families whose position embeddings begin after the padding token's number."""


def special_token(source: Source, role: str) -> str:
    """A special token of the tokenizer's configuration, such as `mask_token`; empty if there is none."""
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        token = source.read_json(name).get(role)
        if token:
            return str(token["content"] if isinstance(token, dict) else token)
    return ""
