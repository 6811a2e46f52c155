"""feature-extraction from pairs with scores, pairs that belong together, or triplets: a sentence encoder as it is, and
fine-tuned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from hearth.models.heads import Pooling
from hearth.models.manifest import Limits
from hearth_build.data import sentence_pairs
from hearth_build.data.bm25 import Bm25
from hearth_build.data.datasets import DataError
from hearth_build.data.report import MIN_EXAMPLES, DataReport, describe_split, language_of
from hearth_build.data.split import exact_duplicates, split
from hearth_build.data.text import pad, tokenize
from hearth_build.evaluations import embeddings as evaluation
from hearth_build.importing import pooling
from hearth_build.importing.base import ImportOptions
from hearth_build.importing.text_tasks import SENTENCES
from hearth_build.networks.pooling import pool
from hearth_build.recipe import Batch, DynamicInt8, Example, Gate, Recipe, RecipeError
from hearth_build.training import bases
from hearth_build.training.candidates import Candidate, Data, Session, Trainer
from hearth_build.training.classification import data_section
from hearth_build.training.encoders import TEXT, Checkpoint, open_encoder
from hearth_build.training.fine_tuning import Preset, Training, best_score, fit
from hearth_build.training.served_network import ServedNetwork

MAX_TOKENS = 128
SCORED = Preset(epochs=4, learning_rate=3e-5, batch_size=32)
CONTRASTED = Preset(epochs=4, learning_rate=3e-5, batch_size=64)
"""Every other text of a batch is a negative: larger batches teach more."""
TEXTS_ONLY = SimpleNamespace(manifest=SimpleNamespace(head=SimpleNamespace(words=False)))
"""In place of a model, for scores that do not come from one."""
SHARPNESS = 20.0
"""By which cosines are multiplied in the losses."""


def read(session: Session) -> Data:
    """Read, check and split the pairs or triplets. Raises DataError."""
    plan, report = session.plan, DataReport()
    examples = usable(plan.data, plan.columns, report)
    test = usable(plan.test, plan.columns, report) if plan.test else []
    metric = evaluation.metric_of(examples)
    if test and evaluation.metric_of(test) != metric:
        raise DataError(f"{plan.test} must have the columns of {plan.data}: both with scores, or both without.")
    report.facts.append(describe(examples))
    duplicates = exact_duplicates([repr(sorted(example.inputs)) for example in [*examples, *test]])
    own_test = (test, duplicates.clusters[len(examples) :]) if test else None
    parts = split(examples, duplicates.clusters[: len(examples)], plan.seed, own_test)
    describe_split(report, parts, duplicates)
    language = language_of(" ".join(example.inputs) for example in examples[:1000])
    return Data(parts, (), report, language, metric=metric)


def describe(examples: Sequence[Example]) -> str:
    if examples[0].expected is not None:
        scores = [example.expected for example in examples]
        return f"{len(examples):,} pairs with scores from {min(scores):g} to {max(scores):g}"
    kind = "triplets" if len(examples[0].inputs) == 3 else "pairs of texts that belong together"
    return f"{len(examples):,} {kind}; the other texts of a batch are taken as ones that do not belong"


def usable(path: str, columns: dict[str, str], report: DataReport) -> list[Example]:
    examples = sentence_pairs.read(Path(path), columns)
    kept = [example for example in examples if all(example.inputs)]
    if len(kept) < len(examples):
        report.warnings.append(f"{len(examples) - len(kept):,} rows with an empty text are left out")
    if len(kept) < MIN_EXAMPLES:
        raise DataError(f"{path} has {len(kept)} pairs; at least {MIN_EXAMPLES} are needed to train and to measure.")
    if kept[0].expected is not None and len({example.expected for example in kept}) < 2:
        raise DataError(f"All pairs of {path} have the score {kept[0].expected:g}: there is nothing to learn.")
    return kept


def default_base(data: Data) -> str:
    return bases.MINILM if data.language == "English" else ""


@dataclass
class TextGroups:
    """Batches of groups of texts, in one batch: first all first ones, then all second ones, and so on."""

    rows: list[list[list[int]]]
    """The tokens of each text, by its place in the group and by the number of the group."""
    scores: Tensor
    """Of pairs with scores; without scores the number of the second text, so that equal ones are known."""
    pad_id: int

    def plan(self, epoch: int, size: int, seed: int) -> Sequence[Sequence[int]]:
        order = np.random.default_rng((seed, epoch)).permutation(len(self.scores))
        return [batch.tolist() for batch in np.array_split(order, -(-len(order) // size))]

    def collate(self, indices: Sequence[int], progress: float) -> Batch:
        texts = [part[index] for part in self.rows for index in indices]
        return pad(texts, self.pad_id) | {"scores": self.scores[list(indices)]}


def vectors(head: Pooling, network: nn.Module, batch: Batch) -> Tensor:
    """The unit vector of each text, (texts, dimensions)."""
    return unit_vectors(head, network(batch["input_ids"], batch["attention_mask"]), batch)


def unit_vectors(head: Pooling, output: Tensor, batch: Batch) -> Tensor:
    """Of the network's output: vectors (texts, dimensions), or those of tokens (texts, sequence, dimensions)."""
    pooled = output if head.method == "none" else pool(output, batch["attention_mask"], head.method)
    return functional.normalize(pooled, dim=1)


def scored_loss(head: Pooling, network: nn.Module, batch: Batch) -> Tensor:
    """Pairs with higher scores should have higher cosines (CoSENT: Su 2022)."""
    first, second = vectors(head, network, batch).chunk(2)
    cosines = (first * second).sum(1) * SHARPNESS
    differences = cosines[:, None] - cosines[None]  # by which the first of two pairs is more similar
    wrong = batch["scores"][:, None] < batch["scores"][None]
    return functional.softplus(torch.logsumexp(differences[wrong], 0)) if wrong.any() else cosines.sum() * 0


def contrast_loss(head: Pooling, network: nn.Module, batch: Batch) -> Tensor:
    """The own second text should be more similar to the first one than all others of the batch, and than the third
    texts of triplets (multiple negatives ranking: Henderson et al. 2017). Texts equal to the own one do not count."""
    partners = batch["scores"]
    count = len(partners)
    embedded = vectors(head, network, batch)
    similarities = embedded[:count] @ embedded[count:].T * SHARPNESS  # (firsts, seconds and thirds)
    repeated = (partners[:, None] == partners[None]) & ~torch.eye(count, dtype=torch.bool)
    others = torch.zeros(count, len(embedded) - 2 * count, dtype=torch.bool)
    return functional.cross_entropy(
        similarities.masked_fill(torch.cat([repeated, others], 1), -torch.inf), torch.arange(count)
    )


def soft_vectors(head: Pooling, outputs: Tensor, taught: Tensor, batch: Batch) -> Tensor:
    """How far the unit vectors are from the teacher's, times the weight at which that decides."""
    own, other = (unit_vectors(head, values, batch) for values in (outputs, taught))
    return SHARPNESS * (1 - (own * other).sum(1)).mean()


def lexical(data: Data) -> Candidate:
    """BM25, as a search without a model would rank the texts of the validation examples."""
    examples = data.split.validation
    texts = list(dict.fromkeys(chain.from_iterable(example.inputs[1:] for example in examples)))
    bm25 = Bm25(texts)
    places = {text: number for number, text in enumerate(texts)}
    results: list[float] = []
    for example in examples:
        scores = bm25.scores(example.inputs[0])
        own, *others = (scores[places[text]] for text in example.inputs[1:])
        if data.metric == evaluation.PARTNERS:
            results.append(1 + int((np.delete(scores, places[example.inputs[1]]) >= own).sum()))
        else:
            results.append(float(own - (others[0] if others else 0.0)))
    return Candidate("BM25", evaluation.score(TEXTS_ONLY, examples, results)[data.metric])


def candidates(session: Session, data: Data) -> list[Candidate]:
    if not session.plan.base:
        raise RecipeError(f"No sentence encoder is at hand for {data.language}; name one with --from.")
    checkpoint = open_encoder(session.plan.base)
    options = ImportOptions()
    head = pooling.read_head(checkpoint.source, options, checkpoint.hidden)
    modules = pooling.read_modules(checkpoint.source, options)
    prompt = head.prompts.get(head.default_prompt or "", "")
    max_tokens = min(MAX_TOKENS, checkpoint.max_tokens)
    has_scores = data.metric == "Spearman"

    def start(work: Path) -> nn.Module:
        if modules.are_in_graph:
            return Embedder(checkpoint.load(), pooling.pooling_network(modules, checkpoint.source))
        return checkpoint.load()

    def score(network: nn.Module, work: Path) -> dict[str, float]:
        model = ServedNetwork(network, TEXT, checkpoint.tokenizer, checkpoint.preprocessing(max_tokens), head)
        return {data.metric: evaluation.EVALUATION.measure(model, data.split.validation)[data.metric]}

    training = data.split.train
    rows = [
        tokenize(checkpoint.tokenizer, [prompt + example.inputs[place] for example in training], max_tokens)
        for place in range(len(training[0].inputs))
    ]
    numbers = {text: number for number, text in enumerate({example.inputs[1]: None for example in training})}
    values = [example.expected if has_scores else numbers[example.inputs[1]] for example in training]
    unchanged = score(start(session.work), session.work)[data.metric]
    stage = fit(
        session,
        Training(
            SCORED if has_scores else CONTRASTED,
            network=start,
            batches=TextGroups(rows, torch.tensor(values), checkpoint.pad_id),
            loss=partial(scored_loss if has_scores else contrast_loss, head),
            score=score,
        ),
        soft=partial(soft_vectors, head),
    )
    finished = partial(recipe_of, session, data, checkpoint, head, max_tokens)
    return [
        lexical(data),
        Candidate(
            "the encoder as it is",
            unchanged,
            None if session.is_small else partial(finished, network=start),
            is_larger=session.is_small,
        ),
        Candidate(session.title("encoder"), best_score(session, stage), partial(finished, stages=(stage,))),
    ]


class Embedder(nn.Module):
    """Vectors (batch, dimensions) by an encoder and the layers after it."""

    def __init__(self, encoder: nn.Module, layers: nn.Module) -> None:
        super().__init__()
        self.encoder, self.layers = encoder, layers

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        vectors: Tensor = self.layers(self.encoder(input_ids, attention_mask), attention_mask)
        return vectors


def recipe_of(
    session: Session, data: Data, checkpoint: Checkpoint, head: Pooling, max_tokens: int, **fields: object
) -> Recipe:
    kind = session.method if "stages" in fields else "as it is"
    outputs = ("vectors",) if head.method == "none" else ("tokens",)
    return session.recipe(
        data,
        description=f"Sentence embeddings: {bases.title(session.plan.base)}, {kind}.",
        prepare=lambda work: checkpoint.tokenizer.save(str(work / "tokenizer.json"), pretty=False),
        graphs={"main": checkpoint.graph(outputs=outputs, per_token=head.method != "none")},
        report=lambda work, examples, results: data_section(data),
        golden=lambda: SENTENCES,
        preprocessing=checkpoint.preprocessing(max_tokens),
        head=head,
        quantization=session.quantization(DynamicInt8()),
        gate=Gate(metric=-1.0, quantization_loss=0.01, bytes=2**31, difference=0.2),
        limits=Limits(batch=64, characters=20_000),
        limitations=(f"Texts are cut after {max_tokens} tokens.",),
        **fields,
    )


TRAINER = Trainer(read, candidates, default_base, can_be_small=True)
