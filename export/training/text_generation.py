"""text-generation from texts or conversations: a small decoder from scratch, or a decoder fine-tuned."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional

from hearth.models.manifest import Limits
from hearth.models.preprocessing import TextPreprocessing
from hearth_build.data import corpus
from hearth_build.data.character_ngrams import ORDER, CharacterNgrams
from hearth_build.data.datasets import DataError
from hearth_build.data.report import MIN_EXAMPLES, DataReport, describe_measured, describe_split, language_of
from hearth_build.data.split import Split, duplicate_texts, split
from hearth_build.importing.decoders import PROMPTS
from hearth_build.networks.gpt import Decoder, Shape
from hearth_build.onnx_export import decoder_graph
from hearth_build.onnx_export.decoder_architecture import architecture_of
from hearth_build.onnx_export.decoder_reference import DecoderReference
from hearth_build.recipe import Batch, DynamicInt8, Example, Gate, OneCycle, RecipeError
from hearth_build.training import bases
from hearth_build.training.candidates import Candidate, Data, Session, Trainer
from hearth_build.training.classification import data_section
from hearth_build.training.decoders import IGNORED, ChatFormat, open_decoder, train_tokenizer
from hearth_build.training.fine_tuning import Preset, Training, best_score, fit

MIN_CHARACTERS = 5_000
PIECE = 4_000
"""Characters of the longest pieces of held-out text, each of which is measured with the text before it."""
PIECES = 20
"""Pieces into which a short held-out text is cut."""
BEFORE = 2_000
"""Characters of the text before a piece."""
HELD_OUT = {"validation": 60_000, "test": 200_000}
"""Largest number of characters of the held-out parts."""
SMALL, MEDIUM = 200_000, 5_000_000
"""Characters up to which the network is small, and medium."""
SHAPES = {
    "small": Shape(512, width=96, layers=3, heads=3, kv_heads=1, head_size=32, inner=192, context=128, dropout=0.1),
    "medium": Shape(1024, width=192, layers=4, heads=6, kv_heads=2, head_size=32, inner=384, context=192, dropout=0.15),
    "large": Shape(4096, width=256, layers=6, heads=8, kv_heads=4, head_size=32, inner=768, context=256, dropout=0.1),
}
SCRATCH = Preset(
    epochs=12,
    learning_rate=3e-3,
    batch_size=8,
    schedule=OneCycle(warmup=0.06),
    weight_decay=1.0,  # epochs over little text: with 0.1, a network memorises it
    betas=(0.9, 0.98),
    average=0.995,
)
TUNED = Preset(epochs=3, learning_rate=5e-5, batch_size=8, schedule=OneCycle(warmup=0.1))
LONGEST = 512
"""Tokens of a window in fine-tuning."""
SCORE = "log-probability per character"


@dataclass(frozen=True)
class TextData(Data):
    is_chat: bool = False


def read(session: Session) -> TextData:
    """Read, check and split the texts or conversations. Raises DataError."""
    plan, report = session.plan, DataReport()
    examples = usable(plan.data, plan.columns, report)
    test = usable(plan.test, plan.columns, report) if plan.test else []
    is_chat = isinstance(examples[0].inputs, dict)
    characters = sum(len(corpus.whole_text(example)) for example in examples)
    kind = "conversations" if is_chat else "texts" if len(examples) > 1 else "text"
    language = language_of(corpus.whole_text(example)[:5000] for example in examples[:200])
    report.facts.append(f"{len(examples):,} {kind} with {characters:,} characters; {language}")
    if len(examples) < MIN_EXAMPLES:
        if is_chat:
            raise DataError(
                f"{plan.data} has {len(examples)} conversations; at least {MIN_EXAMPLES} are needed to train and to "
                "measure, and some hundreds for good answers."
            )
        parts = by_position(examples, test)
        report.facts.append("Each text gives its end for the validation and the test: a tenth of it each")
    else:
        duplicates = duplicate_texts([corpus.whole_text(example)[:2000] for example in [*examples, *test]])
        own_test = (test, duplicates.clusters[len(examples) :]) if test else None
        parts = split(examples, duplicates.clusters[: len(examples)], plan.seed, own_test)
        describe_split(report, parts, duplicates)
    held = {name: limited(getattr(parts, name), limit) for name, limit in HELD_OUT.items()}
    measured = replace(parts, **held)
    describe_measured(report, parts, measured)
    return TextData(measured, (), report, language, is_chat=is_chat)


def usable(path: str, columns: dict[str, str], report: DataReport) -> list[Example]:
    examples = corpus.read(Path(path), columns)
    kept = [example for example in examples if corpus.learnt_text(example).strip()]
    if len(kept) < len(examples):
        report.warnings.append(f"{len(examples) - len(kept):,} examples without a text to learn are left out")
    characters = sum(len(corpus.learnt_text(example)) for example in kept)
    if characters < MIN_CHARACTERS:
        raise DataError(
            f"{path} has {characters:,} characters to learn from. At least {MIN_CHARACTERS:,} are needed, and about a "
            "million for a network from scratch that writes words; with fewer, start --from a decoder."
        )
    return kept


def by_position(examples: Sequence[Example], test: Sequence[Example]) -> Split:
    """The beginning of each text is for training, its end is held out, in pieces with the text before them."""
    parts: dict[str, list[Example]] = {"train": [], "validation": [], "test": []}
    for example in examples:
        text = example.inputs
        last = len(text) if test else at_line(text, int(len(text) * 0.9))
        middle = at_line(text, int(last - len(text) * 0.1))
        parts["train"].append(replace(example, inputs=text[:middle]))
        for name, start, end in (("validation", middle, last), ("test", last, len(text))):
            parts[name] += cut(text, start, end, f"{example.name}, {name}")
    for example in test:
        parts["test"] += cut(example.inputs, 0, len(example.inputs), example.name)
    return Split(**parts)


def at_line(text: str, position: int) -> int:
    """The end of the line at a position, if it is near."""
    end = text.find("\n", position)
    return end + 1 if 0 <= end < position + 1000 else position


def cut(text: str, start: int, end: int, name: str) -> list[Example]:
    pieces = []
    size = max(1, min(PIECE, (end - start) // PIECES))
    while start < end:
        stop = min(at_line(text, start + size), end)
        pieces.append(Example(text[start:stop], text[max(0, start - BEFORE) : start] or None, f"{name} {start}"))
        start = stop
    return pieces


def limited(examples: Sequence[Example], characters: int) -> list[Example]:
    sizes = np.cumsum([len(corpus.whole_text(example)) for example in examples])
    return list(examples[: max(1, int((sizes <= characters).sum()))])


def candidates(session: Session, data: TextData) -> list[Candidate]:
    baselines = [ngrams(data, "frequencies of characters", 1), ngrams(data, "n-grams of characters")]
    return [*baselines, *(pretrained(session, data) if session.plan.base else [scratch(session, data)])]


def ngrams(data: TextData, name: str, order: int = ORDER) -> Candidate:
    """A model of characters, without a network."""
    model = CharacterNgrams((corpus.learnt_text(example) for example in data.split.train), order)
    texts = [corpus.learnt_text(example) for example in data.split.validation]
    return Candidate(name, sum(map(model.nats, texts)) / sum(map(len, texts)))


def scratch(session: Session, data: TextData) -> Candidate:
    """A small network with a tokenizer of the texts."""
    characters = sum(len(corpus.whole_text(example)) for example in data.split.train)
    size = "small" if characters < SMALL else "medium" if characters < MEDIUM else "large"
    size = str(session.plan.settings.get("size", size))
    session.settings["size"] = size
    shape = SHAPES[size]
    tokenizer = train_tokenizer(map(corpus.whole_text, data.split.train), shape.vocabulary)
    shape = replace(shape, vocabulary=tokenizer.get_vocab_size())
    chat = ChatFormat.ours(tokenizer)
    ends = (chat.end,) if data.is_chat or len(data.split.train) > 1 else ()
    windows = Windows.of(data.split.train, tokenizer, chat, shape.context)

    def network(work: Path) -> nn.Module:
        return Decoder(shape)

    stage = fit(
        session,
        Training(
            SCRATCH,
            network=network,
            batches=windows,
            loss=loss,
            score=score_on(data, tokenizer, chat, shape.context),
            name="training",
        ),
    )
    template = {chat.name: lambda work: chat.template.encode()} if data.is_chat else {}
    head = decoder_graph.head(architecture_of(shape), ends, None, chat.name if data.is_chat else None)
    recipe = session.recipe(
        data,
        description=f"Writes {'answers' if data.is_chat else 'texts'}: a small decoder, trained from scratch.",
        prepare=lambda work: tokenizer.save(str(work / "tokenizer.json"), pretty=False),
        stages=(stage,),
        graphs={"main": decoder_graph.write},
        head=head,
        resources=template,
        preprocessing=TextPreprocessing(tokenizer="tokenizer.json", max_tokens=shape.context),
        **served(session, data, shape.context),
    )
    return Candidate("small decoder", -best_score(session, stage), lambda: recipe)


def pretrained(session: Session, data: TextData) -> list[Candidate]:
    """A decoder as it is, and fine-tuned."""
    base = open_decoder(session.plan.base)
    tokenizer, context = base.tokenizer, min(LONGEST, base.architecture.context)
    chat = base.chat
    if data.is_chat and not chat.template:
        raise RecipeError(
            f"--from {session.plan.base} has no chat template, which conversations need. Start from a model for chats, "
            "or save a chat_template.jinja in the folder."
        )
    score = score_on(data, tokenizer, chat, context)
    stage = fit(
        session,
        Training(
            TUNED,
            network=lambda work: base.load(),
            batches=Windows.of(data.split.train, tokenizer, chat, context),
            loss=loss,
            score=score,
        ),
    )

    def recipe(kind: str, **fields: Any) -> Any:
        return session.recipe(
            data,
            description=f"Writes {'answers' if data.is_chat else 'texts'}: {bases.title(session.plan.base)}, {kind}.",
            prepare=lambda work: tokenizer.save(str(work / "tokenizer.json"), pretty=False),
            graphs={"main": base.write},
            head=base.head,
            resources={chat.name: lambda work: chat.template.encode()} if base.head.chat_template else {},
            preprocessing=TextPreprocessing(tokenizer="tokenizer.json", max_tokens=base.architecture.context),
            **served(session, data, base.architecture.context),
            **fields,
        )

    unchanged = -score(base.load().eval(), session.work)[SCORE]
    return [
        Candidate("the decoder as it is", unchanged, lambda: recipe("as it is", network=lambda work: base.load())),
        Candidate("fine-tuned decoder", -best_score(session, stage), lambda: recipe("fine-tuned", stages=(stage,))),
    ]


def served(session: Session, data: TextData, context: int) -> dict[str, Any]:
    """The fields of the recipe that do not depend on the network."""
    return {
        "reference_model": DecoderReference,
        "report": lambda work, examples, outputs: data_section(data),
        "golden": lambda: PROMPTS[:2],
        "quantization": session.quantization(DynamicInt8()),
        "gate": Gate(metric=math.inf, quantization_loss=0.02, bytes=2**34, difference=1.5),
        "limits": Limits(batch=1, characters=20 * context),
        "limitations": (
            "It writes what its texts make likely, whether it is true or not.",
            f"Prompt and output together have at most {context:,} tokens.",
            "The best epoch was chosen by the validation texts.",
        ),
    }


@dataclass
class Windows:
    """Windows of `length` tokens and the next one, with another offset in every epoch."""

    ids: Tensor
    targets: Tensor
    """The token of each place, or IGNORED where nothing is learnt, as in what users say."""
    length: int

    @classmethod
    def of(cls, examples: Sequence[Example], tokenizer: Tokenizer, chat: ChatFormat, context: int) -> Windows:
        ids: list[int] = []
        targets: list[int] = []
        for example in examples:
            for tokens, counts in chat.tokens(tokenizer, example, len(examples) > 1):
                ids += tokens
                targets += tokens if counts else [IGNORED] * len(tokens)
        length = max(1, min(context, (len(ids) - 1) // (3 * SCRATCH.batch_size)))
        return cls(torch.tensor(ids), torch.tensor(targets), length)

    def plan(self, epoch: int, size: int, seed: int) -> Sequence[Sequence[int]]:
        random = np.random.default_rng((seed, epoch))
        starts = np.arange(random.integers(self.length), len(self.ids) - self.length, self.length)
        count = max(1, (len(self.ids) // self.length - 2) // size)
        return random.permutation(starts)[: count * size].reshape(count, -1).tolist()  # type: ignore[no-any-return]

    def collate(self, indices: Sequence[int], progress: float) -> Batch:
        return {
            "ids": torch.stack([self.ids[start : start + self.length] for start in indices]),
            "targets": torch.stack([self.targets[start + 1 : start + self.length + 1] for start in indices]),
        }


def loss(network: nn.Module, batch: Batch) -> Tensor:
    """Mean nats per token that is learnt."""
    logits = network(batch["ids"]).flatten(0, 1)
    total = functional.cross_entropy(logits, batch["targets"].flatten(), ignore_index=IGNORED, reduction="sum")
    return total / (batch["targets"] != IGNORED).sum().clamp(min=1)


def score_on(
    data: TextData, tokenizer: Tokenizer, chat: ChatFormat, context: int
) -> Callable[[nn.Module, Path], dict[str, float]]:
    """The mean log-probability per character of the validation texts, in adjacent windows."""
    characters = sum(len(corpus.learnt_text(example)) for example in data.split.validation)
    sequences: list[tuple[Tensor, Tensor]] = []
    for example in data.split.validation:
        before = (
            tokenizer.encode(example.expected, add_special_tokens=False).ids[-context // 2 :]
            if example.expected
            else []
        )
        ids, targets = list(before), [IGNORED] * len(before)
        for tokens, counts in chat.tokens(tokenizer, example, data.is_chat):
            ids += tokens
            targets += tokens if counts else [IGNORED] * len(tokens)
        sequences.append((torch.tensor(ids), torch.tensor(targets)))

    def score(network: nn.Module, work: Path) -> dict[str, float]:
        network.eval()
        nats = 0.0
        with torch.no_grad():
            for ids, targets in sequences:
                for start in range(0, len(ids) - 1, context):
                    window = ids[start : start + context][: len(ids) - 1 - start]
                    following = targets[start + 1 : start + 1 + len(window)]
                    logits = network(window[None])[0]
                    nats += functional.cross_entropy(logits, following, ignore_index=IGNORED, reduction="sum").item()
        return {SCORE: -nats / characters}

    return score


def require_learning(chosen: Candidate, results: Sequence[Candidate]) -> None:
    if chosen.score >= results[0].score:
        raise RecipeError(
            f"The network knows no more than how frequent each character is ({chosen.score:.2f} nats a character): add "
            "texts, start --from a decoder, or give it more --minutes."
        )


TRAINER = Trainer(read, candidates, require_learning=require_learning)
