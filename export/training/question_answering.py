"""question-answering from questions, contexts and answers: a fine-tuned encoder finds both ends of the answer."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from tokenizers import Encoding
from torch import Tensor, nn
from torch.nn import functional

from hearth.models.heads import Spans
from hearth.models.manifest import Limits
from hearth.ops.text.windows import tokenize_whole, truncate, window_capacity, windows
from hearth_build.data import questions
from hearth_build.data.bm25 import words_of
from hearth_build.data.datasets import DataError
from hearth_build.data.questions import Answer
from hearth_build.data.report import (
    LISTED,
    MIN_EXAMPLES,
    DataReport,
    describe_measured,
    describe_split,
    language_of,
)
from hearth_build.data.split import duplicate_texts, split
from hearth_build.data.text_pairs import TextPairs
from hearth_build.evaluations import question_answering as evaluation
from hearth_build.importing.text_tasks import CONTEXT, QUESTIONS
from hearth_build.networks.text_heads import SpanPredictor
from hearth_build.recipe import Batch, DynamicInt8, Example, Gate, RecipeError
from hearth_build.training import bases
from hearth_build.training.candidates import Candidate, Data, Session, Trainer
from hearth_build.training.classification import cell, data_section
from hearth_build.training.distillation import soft_edges
from hearth_build.training.encoders import Checkpoint, open_encoder
from hearth_build.training.fine_tuning import Preset, Training, best_score, fit
from hearth_build.training.served_network import ServedNetwork

WINDOW = 384
"""Tokens of the longest window, question included; shorter if nearly all pairs are."""
MAX_ANSWER = 30
"""Tokens of the longest answer, unless those of the data are longer."""
PRESET = Preset(epochs=4, learning_rate=7e-5, batch_size=16)
HELD_OUT = {"validation": 300, "test": 1000}
"""Largest number of questions of the held-out parts."""
SENTENCES = re.compile(r"[^.!?。！？\n]+[.!?。！？]?")
OUTPUTS = ("start_logits", "end_logits")


def read(session: Session) -> Data:
    """Read, check and split the questions; those about one text are not parted. Raises DataError."""
    plan, report = session.plan, DataReport()
    examples = usable(plan.data, plan.columns, report)
    test = usable(plan.test, plan.columns, report) if plan.test else []
    contexts = [example.inputs["context"] for example in [*examples, *test]]
    impossible = sum(not example.expected for example in examples)
    report.facts.append(
        f"{len(examples):,} questions about {len(set(contexts)):,} texts; {impossible:,} of them have no answer there"
    )
    lengths = np.percentile([len(context) for context in contexts], [50, 95])
    language = language_of(contexts[:500])
    report.facts.append(
        f"Texts: {language}; half of them have up to {lengths[0]:.0f} characters, 95 % up to {lengths[1]:.0f}"
    )
    duplicates = duplicate_texts(contexts)
    own_test = (test, duplicates.clusters[len(examples) :]) if test else None
    parts = split(examples, duplicates.clusters[: len(examples)], plan.seed, own_test)
    describe_split(report, parts, replace(duplicates, exact=0))
    held = {name: getattr(parts, name)[:count] for name, count in HELD_OUT.items()}
    measured = replace(parts, **held)
    describe_measured(report, parts, measured)
    return Data(measured, (), report, language)


def usable(path: str, columns: dict[str, str], report: DataReport) -> list[Example]:
    """The questions with a text, and with an answer that occurs in it or none."""
    examples = [
        example
        for example in questions.read(Path(path), columns)
        if example.inputs["question"] and example.inputs["context"].strip()
    ]
    kept = []
    missing = []
    for example in examples:
        inside = [answer for answer in example.expected if answer.start >= 0]
        (missing if example.expected and not inside else kept).append(replace(example, expected=inside))
    if missing:
        names = ", ".join(example.name for example in missing[:LISTED])
        report.warnings.append(f"{len(missing):,} questions whose answer is not in the text are left out: {names}")
    if len(kept) < MIN_EXAMPLES:
        raise DataError(
            f"{path} has {len(kept)} questions whose answer is a part of the text. At least {MIN_EXAMPLES} are needed "
            "to train and to measure; answers in other words cannot be found by question-answering: use "
            "text-generation for them."
        )
    if not any(example.expected for example in kept):
        raise DataError(f"None of the {len(kept)} questions of {path} has an answer: there is nothing to learn.")
    return kept


def default_base(data: Data) -> str:
    return bases.MINILM if data.language == "English" else ""


def candidates(session: Session, data: Data) -> list[Candidate]:
    if not session.plan.base:
        raise RecipeError(f"No encoder is at hand for {data.language}; name one with --from.")
    checkpoint = open_encoder(session.plan.base)
    size = window_size(checkpoint, data.split.train)
    head = Spans(stride=size // 4, max_answer=longest_answer(checkpoint, data.split.train))
    inputs = checkpoint.pair_inputs

    def network(work: Path) -> nn.Module:
        return SpanPredictor(checkpoint.load(), checkpoint.hidden)

    def score(network: nn.Module, work: Path) -> dict[str, float]:
        model = ServedNetwork(network, inputs, checkpoint.tokenizer, checkpoint.preprocessing(size), head)
        return evaluation.EVALUATION.measure(model, data.split.validation)

    rows, edges = training_windows(checkpoint, data.split.train, size, session.plan.seed)
    batches = TextPairs(rows, {"edges": edges}, inputs, checkpoint.pad_id)

    def loss(network: nn.Module, batch: Batch) -> Tensor:
        start, end = network(**batches.inputs_of(batch))
        mask = batch["attention_mask"] == 0
        first, last = batch["edges"].unbind(1)
        return (
            functional.cross_entropy(start.masked_fill(mask, -1e4), first)
            + functional.cross_entropy(end.masked_fill(mask, -1e4), last)
        ) / 2

    stage = fit(session, Training(PRESET, network=network, batches=batches, loss=loss, score=score), soft=soft_edges)
    recipe = session.recipe(
        data,
        description=f"Finds the answer to a question in a text: {bases.title(session.plan.base)}, {session.method}.",
        prepare=lambda work: checkpoint.tokenizer.save(str(work / "tokenizer.json"), pretty=False),
        stages=(stage,),
        graphs={"main": checkpoint.graph(inputs, OUTPUTS, per_token=True)},
        report=sections(data),
        golden=lambda: [{"question": question, "context": CONTEXT} for question in QUESTIONS],
        preprocessing=checkpoint.preprocessing(size),
        head=head,
        quantization=session.quantization(DynamicInt8()),
        gate=Gate(
            metric=0.0,
            quantization_loss=max(0.01, 2.5 / len(data.split.validation)),
            bytes=2**31,
            difference=0.6,
        ),
        limits=Limits(batch=64, characters=100_000),
        limitations=(
            "An answer is always a part of the text, also if the text does not answer the question, unless the request "
            "sets handle_impossible_answer.",
            "The best epoch was chosen by the validation questions.",
        ),
    )
    return [nearest_sentence(data), Candidate(session.title("encoder"), best_score(session, stage), lambda: recipe)]


def window_size(checkpoint: Checkpoint, examples: Sequence[Example]) -> int:
    tokenizer = checkpoint.tokenizer
    sample = [f"{example.inputs['question']} {example.inputs['context']}" for example in examples[:500]]
    lengths = [len(encoding.ids) + 2 for encoding in tokenizer.encode_batch(sample)]
    return int(min(checkpoint.max_tokens, WINDOW, max(32, np.percentile(lengths, 98))))


def longest_answer(checkpoint: Checkpoint, examples: Sequence[Example]) -> int:
    texts = [answer.text for example in examples[:5000] for answer in example.expected]
    lengths = [len(encoding.ids) for encoding in checkpoint.tokenizer.encode_batch(texts, add_special_tokens=False)]
    return int(max(MAX_ANSWER, np.percentile(lengths, 99)))


def training_windows(
    checkpoint: Checkpoint, examples: Sequence[Example], size: int, seed: int
) -> tuple[list[Encoding], Tensor]:
    """Windows as the function cuts them, and the first and last token of the answer, (windows, 2); both are the first
    token of the window where it has no answer. One such window of each text is kept."""
    random = np.random.default_rng(seed)
    rows: list[Encoding] = []
    edges: list[tuple[int, int]] = []
    for example in examples:
        with_answer, without = [], []
        for row in windows_of(checkpoint, example, size):
            edge = edge_of(row, example.expected)
            (without if edge is None else with_answer).append((row, edge or (0, 0)))
        if without:
            with_answer.append(without[int(random.integers(len(without)))])
        rows += [row for row, _ in with_answer]
        edges += [edge for _, edge in with_answer]
    return rows, torch.tensor(edges)


def windows_of(checkpoint: Checkpoint, example: Example, size: int) -> Iterator[Encoding]:
    tokenizer = checkpoint.tokenizer
    question = truncate(tokenize_whole(tokenizer, example.inputs["question"]), size // 2)
    capacity = window_capacity(tokenizer, size, question)
    context = tokenize_whole(tokenizer, example.inputs["context"])
    yield from windows(tokenizer, context, size, min(size // 4, capacity // 2), question)


def edge_of(row: Encoding, answers: Sequence[Answer]) -> tuple[int, int] | None:
    """The first and last token of the first answer that is whole in the window; None if there is none."""
    tokens = [
        (index, start, end)
        for index, (sequence, (start, end)) in enumerate(zip(row.sequence_ids, row.offsets, strict=True))
        if sequence == 1 and end > start
    ]
    for answer in answers:
        stop = answer.start + len(answer.text)
        inside = [index for index, start, end in tokens if start < stop and end > answer.start]
        if inside and tokens[0][1] <= answer.start and tokens[-1][2] >= stop:
            return inside[0], inside[-1]
    return None


def nearest_sentence(data: Data) -> Candidate:
    """The sentence that has most words in common with the question."""
    answers = []
    for example in data.split.validation:
        question = set(words_of(example.inputs["question"]))
        sentences = SENTENCES.findall(example.inputs["context"]) or [""]
        answers.append(max(sentences, key=lambda sentence: len(question & set(words_of(sentence)))))
    return Candidate(
        "sentence with most words of the question", evaluation.score(None, data.split.validation, answers)["F1"]
    )


def require_learning(chosen: Candidate, results: Sequence[Candidate]) -> None:
    if chosen.score <= results[0].score:
        raise RecipeError(
            f"The network finds answers no better than a search for the words of the question (F1 {chosen.score:.3f} "
            f"and {results[0].score:.3f}): add questions, or give it more --minutes."
        )


def sections(data: Data) -> Callable[[Path, Sequence[Example], Sequence[str]], Sequence[str]]:
    def report(work: Path, examples: Sequence[Example], outputs: Sequence[str]) -> Sequence[str]:
        lines = ["question\texpected\tanswer"]
        wrong = []
        for example, answer in zip(examples, outputs, strict=True):
            if evaluation.score(None, [example], [answer])["exact match"] < 1:
                wrong.append(example.name)
                cells = (example.inputs["question"], example.expected[0].text if example.expected else "", answer)
                lines.append("\t".join(cell(text, 1000) for text in cells))
        (work / "doubtful.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        names = ", ".join(cell(name, 40) for name in wrong[:LISTED])
        sentence = f"{len(wrong)} of {len(examples)} answers are not exactly the expected ones"
        return [
            "## Errors on the test data",
            f"{sentence}, for example {names} (all are in doubtful.tsv of the build)." if wrong else f"{sentence}.",
            *data_section(data),
        ]

    return report


TRAINER = Trainer(read, candidates, default_base, require_learning, can_be_small=True)
