"""feature-extraction from pairs of sentences with scores: a sentence encoder as it is, and fine-tuned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional

from hearth.models.heads import Pooling
from hearth.models.manifest import Limits
from hearth.models.preprocessing import TextPreprocessing
from hearth_build.data import sentence_pairs
from hearth_build.data.datasets import DataError
from hearth_build.data.report import MIN_EXAMPLES, DataReport, describe_split, language_of
from hearth_build.data.split import exact_duplicates, split
from hearth_build.data.text import pad, tokenize
from hearth_build.evaluations.embeddings import spearman
from hearth_build.importing.source import Source
from hearth_build.networks import sentence_encoder
from hearth_build.networks.bert import rename_weights
from hearth_build.recipe import Batch, DynamicInt8, Example, Gate, Recipe, RecipeError
from hearth_build.training import bases
from hearth_build.training.candidates import Candidate, Data, Session, Trainer
from hearth_build.training.classification import data_section
from hearth_build.training.fine_tuning import Preset, best_score, fit

MAX_TOKENS = 128
PRESET = Preset(epochs=4, learning_rate=3e-5, batch_size=32)
SHARPNESS = 20.0
"""By which differences of cosines are multiplied in the loss."""


def read(session: Session) -> Data:
    """Read, check and split the pairs. Raises DataError."""
    plan, report = session.plan, DataReport()
    examples = usable(plan.data, plan.columns, report)
    test = usable(plan.test, plan.columns, report) if plan.test else []
    scores = np.array([example.expected for example in examples])
    report.facts.append(f"{len(examples):,} pairs with scores from {scores.min():g} to {scores.max():g}")
    duplicates = exact_duplicates([repr(sorted(example.inputs)) for example in [*examples, *test]])
    own_test = (test, duplicates.clusters[len(examples) :]) if test else None
    parts = split(examples, duplicates.clusters[: len(examples)], plan.seed, own_test)
    describe_split(report, parts, duplicates)
    return Data(parts, (), report, language_of(" ".join(example.inputs) for example in examples[:1000]))


def usable(path: str, columns: dict[str, str], report: DataReport) -> list[Example]:
    examples = sentence_pairs.read(Path(path), columns)
    kept = [example for example in examples if all(example.inputs)]
    if len(kept) < len(examples):
        report.warnings.append(f"{len(examples) - len(kept):,} pairs with an empty sentence are left out")
    if len(kept) < MIN_EXAMPLES:
        raise DataError(f"{path} has {len(kept)} pairs; at least {MIN_EXAMPLES} are needed to train and to measure.")
    if len({example.expected for example in kept}) < 2:
        raise DataError(f"All pairs of {path} have the score {kept[0].expected:g}: there is nothing to learn.")
    return kept


def default_base(data: Data) -> str:
    return bases.MINILM if data.language == "English" else ""


@dataclass
class Pairs:
    """Batches of pairs: the tokens of both sentences in one batch, first all first ones."""

    rows: tuple[list[list[int]], list[list[int]]]
    scores: Tensor

    def plan(self, epoch: int, size: int, seed: int) -> Sequence[Sequence[int]]:
        order = np.random.default_rng((seed, epoch)).permutation(len(self.scores))
        return [batch.tolist() for batch in np.array_split(order, -(-len(order) // size))]

    def collate(self, indices: Sequence[int], progress: float) -> Batch:
        first, second = ([part[index] for index in indices] for part in self.rows)
        return pad([*first, *second]) | {"scores": self.scores[indices]}


def vectors(network: nn.Module, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
    """The unit vector of each text, (texts, hidden)."""
    weights = attention_mask[..., None].float()
    mean = (network(input_ids, attention_mask) * weights).sum(1) / weights.sum(1).clamp(min=1)
    return functional.normalize(mean, dim=1)


def loss(network: nn.Module, batch: Batch) -> Tensor:
    """Pairs with higher scores should have higher cosines (CoSENT: Su 2022)."""
    first, second = vectors(network, batch["input_ids"], batch["attention_mask"]).chunk(2)
    cosines = (first * second).sum(1) * SHARPNESS
    differences = cosines[:, None] - cosines[None]  # by which the first of two pairs is more similar
    wrong = batch["scores"][:, None] < batch["scores"][None]
    return functional.softplus(torch.logsumexp(differences[wrong], 0)) if wrong.any() else cosines.sum() * 0


def similarities(network: nn.Module, rows: tuple[list[list[int]], list[list[int]]]) -> list[float]:
    network.eval()
    with torch.no_grad():
        parts = [
            torch.cat([vectors(network, **pad(part[start : start + 64])) for start in range(0, len(part), 64)])
            for part in rows
        ]
    return (parts[0] * parts[1]).sum(1).tolist()


def candidates(session: Session, data: Data) -> list[Candidate]:
    if not session.plan.base:
        raise RecipeError(f"No sentence encoder is at hand for {data.language}; name one with --from.")
    source = bases.encoder(session.plan.base)
    tokenizer = Tokenizer.from_file(str(source.folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()

    def rows_of(examples: Sequence[Example]) -> tuple[list[list[int]], list[list[int]]]:
        first, second = (
            tokenize(tokenizer, [example.inputs[side] for example in examples], MAX_TOKENS) for side in (0, 1)
        )
        return first, second

    def start(work: Path) -> nn.Module:
        network = sentence_encoder.SentenceEncoder(bases.shape_of(source))
        weights = rename_weights(source.load_weights())
        network.load_state_dict({name: value for name, value in weights.items() if name in network.state_dict()}, False)
        return network

    validation, expected = rows_of(data.split.validation), [example.expected for example in data.split.validation]

    def score(network: nn.Module, work: Path) -> dict[str, float]:
        return {"Spearman": spearman(similarities(network, validation), expected)}

    batches = Pairs(rows_of(data.split.train), torch.tensor([example.expected for example in data.split.train]))

    finished = partial(recipe_of, session, data, source, tokenizer)
    unchanged = Candidate(
        "the encoder as it is", score(start(session.work), session.work)["Spearman"], partial(finished, network=start)
    )
    stage = fit(session, PRESET, network=start, batches=batches, loss=loss, score=score)
    return [unchanged, Candidate("fine-tuned encoder", best_score(session, stage), partial(finished, stages=(stage,)))]


def recipe_of(session: Session, data: Data, source: Source, tokenizer: Tokenizer, **fields: object) -> Recipe:
    kind = "fine-tuned" if "stages" in fields else "as it is"
    return session.recipe(
        data,
        description=f"Sentence embeddings: {bases.title(session.plan.base)}, {kind}.",
        prepare=lambda work: tokenizer.save(str(work / "tokenizer.json"), pretty=False),
        graphs={"main": sentence_encoder.graph()},
        report=lambda work, examples, outputs: data_section(data),
        golden=lambda: sentence_encoder.TEXTS,
        preprocessing=TextPreprocessing(
            tokenizer="tokenizer.json", max_tokens=MAX_TOKENS, pad_id=source.config.get("pad_token_id") or 0
        ),
        head=Pooling(method="mean", normalise=True, dimensions=bases.shape_of(source).hidden),
        quantization=session.quantization(DynamicInt8()),
        gate=Gate(metric=-1.0, quantization_loss=0.01, bytes=2**31, difference=0.2),
        limits=Limits(batch=64, characters=20_000),
        limitations=(f"Texts are cut after {MAX_TOKENS} tokens.",),
        **fields,
    )


TRAINER = Trainer(read, candidates, default_base)
