"""text-ranking from queries and texts with labels: an encoder that reads a query and a text together, fine-tuned."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from tokenizers import Encoding
from torch import Tensor, nn
from torch.nn import functional

from hearth.models.heads import Ranking
from hearth.models.manifest import Limits
from hearth.ops.text.windows import tokenize_whole, truncate, window_capacity
from hearth_build.data import ranked_texts
from hearth_build.data.bm25 import Bm25
from hearth_build.data.datasets import DataError
from hearth_build.data.report import MIN_EXAMPLES, DataReport, describe_measured, describe_split, language_of
from hearth_build.data.split import Split, duplicate_texts, split
from hearth_build.data.text_pairs import TextPairs
from hearth_build.evaluations import text_ranking as evaluation
from hearth_build.importing.text_tasks import TEXTS
from hearth_build.networks.pooling import pool
from hearth_build.networks.text_heads import TextClassifier
from hearth_build.recipe import Batch, DynamicInt8, Example, Gate, RecipeError
from hearth_build.training import bases
from hearth_build.training.candidates import Candidate, Data, Session, Trainer
from hearth_build.training.classification import cell, data_section
from hearth_build.training.distillation import soft_labels
from hearth_build.training.encoders import TEXT, Checkpoint, open_encoder
from hearth_build.training.fine_tuning import Preset, Training, best_score, fit
from hearth_build.training.served_network import ServedNetwork

MAX_TOKENS = 256
PRESET = Preset(epochs=4, learning_rate=5e-5, batch_size=32)
TEXTS_PER_QUERY = 24
"""Texts of a query in training; of more, those that fit are kept and others are drawn."""
PAIRS = {"validation": 1500, "test": 4000}
"""Largest number of pairs of the held-out parts."""
METRIC = evaluation.EVALUATION.metric
GOLDEN = [{"query": query, "texts": list(TEXTS[:3])} for query in ("Was the film good?", "When is the train?")]
LISTED = 10


def read(session: Session) -> Data:
    """Read, check and split the queries. Raises DataError."""
    plan, report = session.plan, DataReport()
    examples = usable(plan.data, plan.columns)
    test = usable(plan.test, plan.columns) if plan.test else []
    texts = [len(example.expected) for example in examples]
    fitting = [sum(relevance > 0 for relevance in example.expected) for example in examples]
    report.facts.append(
        f"{len(examples):,} queries with {sum(texts):,} texts, {np.mean(texts):.1f} for each on average, of which "
        f"{np.mean(fitting):.1f} fit"
    )
    if without := sum(count == 0 for count in fitting):
        report.warnings.append(f"{without:,} queries have no text that fits; they are trained on, but not measured")
    has_negatives = not ranked_texts.all_fit(examples)
    if not has_negatives:
        report.facts.append(
            f"All texts fit. Each query gets {ranked_texts.NEGATIVES} texts of others that share most words with it"
        )
    duplicates = duplicate_texts([example.inputs["query"] for example in [*examples, *test]])
    own_test = (test, duplicates.clusters[len(examples) :]) if test else None
    parts = split(examples, duplicates.clusters[: len(examples)], plan.seed, own_test)
    describe_split(report, parts, duplicates)
    if not has_negatives:
        completed = (ranked_texts.with_negatives(part) for part in (parts.train, parts.validation, parts.test))
        parts = Split(*completed, parts.notes)
    measured = replace(parts, **{name: limited(getattr(parts, name), name) for name in PAIRS})
    describe_measured(report, parts, measured)
    language = language_of(example.inputs["texts"][0] for example in examples[:1000])
    return Data(measured, (), report, language)


def usable(path: str, columns: dict[str, str]) -> list[Example]:
    examples = ranked_texts.read_queries(Path(path), columns)
    if len(examples) < MIN_EXAMPLES:
        raise DataError(
            f"{path} has {len(examples)} queries. At least {MIN_EXAMPLES} are needed to train and to measure; if its "
            "columns are mixed up, name them with --column query=NAME --column passage=NAME --column label=NAME."
        )
    if not any(relevance > 0 for example in examples for relevance in example.expected):
        raise DataError(f"No text of {path} fits its query: all labels are 0, so there is nothing to learn.")
    return examples


def limited(examples: Sequence[Example], part: str) -> list[Example]:
    """As many queries as have no more than the largest number of pairs."""
    pairs = np.cumsum([len(example.expected) for example in examples])
    return list(examples[: max(1, int((pairs <= PAIRS[part]).sum()))])


def default_base(data: Data) -> str:
    return bases.MINILM if data.language == "English" else ""


def candidates(session: Session, data: Data) -> list[Candidate]:
    if not session.plan.base:
        raise RecipeError(f"No encoder is at hand for {data.language}; name one with --from.")
    checkpoint = open_encoder(session.plan.base)
    max_tokens = min(MAX_TOKENS, checkpoint.max_tokens)
    inputs, head = checkpoint.pair_inputs, Ranking()

    def network(work: Path) -> nn.Module:
        return TextClassifier(checkpoint.load(), checkpoint.hidden, 1)

    def score(network: nn.Module, work: Path) -> dict[str, float]:
        model = ServedNetwork(network, inputs, checkpoint.tokenizer, checkpoint.preprocessing(max_tokens), head)
        return {METRIC: evaluation.EVALUATION.measure(model, data.split.validation)[METRIC]}

    rows, relevances = training_pairs(checkpoint, data.split.train, max_tokens, session.plan.seed)
    batches = TextPairs(rows, {"relevance": relevances}, inputs, checkpoint.pad_id)

    def loss(network: nn.Module, batch: Batch) -> Tensor:
        logits = network(**batches.inputs_of(batch))[:, 0]
        return functional.binary_cross_entropy_with_logits(logits, batch["relevance"])

    results = [in_order_of(data), by_words(data), by_vectors(checkpoint, data, max_tokens)]
    stage = fit(session, Training(PRESET, network=network, batches=batches, loss=loss, score=score), soft=soft_labels)
    recipe = session.recipe(
        data,
        description=f"Ranks texts by how well they fit a query: {bases.title(session.plan.base)}, {session.method}.",
        prepare=lambda work: checkpoint.tokenizer.save(str(work / "tokenizer.json"), pretty=False),
        stages=(stage,),
        graphs={"main": checkpoint.graph(inputs)},
        report=sections(data),
        golden=lambda: GOLDEN,
        preprocessing=checkpoint.preprocessing(max_tokens),
        head=head,
        activation="sigmoid",
        quantization=session.quantization(DynamicInt8()),
        gate=Gate(metric=0.0, quantization_loss=0.01, bytes=2**31, difference=0.3),
        limits=Limits(batch=64, characters=20_000),
        limitations=(
            f"A query and a text are cut after {max_tokens} tokens together.",
            "The best epoch was chosen by the validation queries.",
        ),
    )
    return [*results, Candidate(session.title("cross-encoder"), best_score(session, stage), lambda: recipe)]


def training_pairs(
    checkpoint: Checkpoint, examples: Sequence[Example], max_tokens: int, seed: int
) -> tuple[list[Encoding], Tensor]:
    """Pairs of queries and texts as the function tokenizes them, and their relevances from 0 to 1."""
    tokenizer, random = checkpoint.tokenizer, np.random.default_rng(seed)
    rows, relevances = [], []
    highest = max(relevance for example in examples for relevance in example.expected)
    for example in examples:
        query = truncate(tokenize_whole(tokenizer, example.inputs["query"]), max_tokens // 2)
        capacity = window_capacity(tokenizer, max_tokens, query)
        expected = np.array(example.expected)
        order = np.argsort(-expected + random.uniform(0, 1e-6, len(expected)))
        for index in order[:TEXTS_PER_QUERY]:
            text = truncate(tokenize_whole(tokenizer, example.inputs["texts"][index]), capacity)
            rows.append(tokenizer.post_process(query, text))
            relevances.append(expected[index] / highest)
    return rows, torch.tensor(relevances, dtype=torch.float32)


def compared(data: Data, name: str, scores: Callable[[Example], Sequence[float]]) -> Candidate:
    examples = data.split.validation
    return Candidate(name, evaluation.score(None, examples, [scores(example) for example in examples])[METRIC])


def in_order_of(data: Data) -> Candidate:
    """Texts in random order."""
    random = np.random.default_rng(0)
    return compared(data, "random order", lambda example: random.uniform(size=len(example.expected)).tolist())


def by_words(data: Data) -> Candidate:
    """BM25, with the texts of the validation queries as the collection."""
    texts = list(dict.fromkeys(text for example in data.split.validation for text in example.inputs["texts"]))
    bm25, places = Bm25(texts), {text: number for number, text in enumerate(texts)}

    def scores(example: Example) -> Sequence[float]:
        of_all = bm25.scores(example.inputs["query"])
        return [float(of_all[places[text]]) for text in example.inputs["texts"]]

    return compared(data, "BM25", scores)


def by_vectors(checkpoint: Checkpoint, data: Data, max_tokens: int) -> Candidate:
    """The cosine similarity of the mean token vectors of the encoder, as it is."""
    network = checkpoint.load().eval()
    tokenizer = checkpoint.tokenizer

    def scores(example: Example) -> Sequence[float]:
        texts = [example.inputs["query"], *example.inputs["texts"]]
        rows = [tokenizer.post_process(truncate(tokenize_whole(tokenizer, text), max_tokens - 2)) for text in texts]
        batch = TextPairs(rows, {}, TEXT, checkpoint.pad_id).collate(range(len(rows)), 0.0)
        with torch.no_grad():
            vectors = functional.normalize(pool(network(**batch), batch["attention_mask"], "mean"), dim=1)
        return (vectors[1:] @ vectors[0]).tolist()  # type: ignore[no-any-return]

    return compared(data, "cosine of the encoder's vectors", scores)


def require_learning(chosen: Candidate, results: Sequence[Candidate]) -> None:
    if chosen.score <= results[0].score:
        raise RecipeError(
            f"The network ranks no better than chance ({METRIC} {chosen.score:.3f}): look whether the labels say how "
            "well a text fits, add queries, or give it more --minutes."
        )


def sections(data: Data) -> Callable[[Path, Sequence[Example], Sequence[Sequence[float]]], Sequence[str]]:
    def report(work: Path, examples: Sequence[Example], outputs: Sequence[Sequence[float]]) -> Sequence[str]:
        rows = []
        for example, scores in zip(examples, outputs, strict=True):
            best = max(example.expected)
            place = 1 + sum(score > scores[example.expected.index(best)] for score in scores)
            rows.append((place, f"| {cell(example.name, 40)} | {place} of {len(scores)} |"))
        worst = [row for place, row in sorted(rows, key=lambda row: -row[0])[:LISTED] if place > 1]
        table = ["| query, worst first | place of its best text |", "|---|---:|", *worst]
        lines = ["\n".join(table)] if worst else ["The best text was first for each test query."]
        return ["## Errors on the test data", *lines, *data_section(data)]

    return report


TRAINER = Trainer(read, candidates, default_base, require_learning, can_be_small=True)
