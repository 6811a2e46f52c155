"""Decoder-only language models with safetensors: one tensor at a time goes from the checkpoint to the quantized graph.

No fp32 copy is made. transformers' own model, whose weights are read a module at a time, reads a text first; the served
graph is compared with its predictions, and weights of 4 bits are rounded for what its matrices read.
"""

from __future__ import annotations

import copy
import json
import shutil
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from msgspec import structs
from rich.progress import Progress
from tokenizers import Tokenizer

from hearth.models.heads import Decoder
from hearth.models.manifest import Limits, Manifest, Metrics, dump
from hearth.models.model import Model
from hearth.models.preprocessing import TextPreprocessing
from hearth.ops.text.sampling import log_probabilities
from hearth.tasks.generation import CHUNK, KeyValueCache
from hearth_build.data.datasets import DataError
from hearth_build.data.table_files import read_text
from hearth_build.importing.base import ImportedModel, Importer, ImportOptions
from hearth_build.importing.decoder_families import FAMILIES, architecture_of
from hearth_build.importing.decoder_weights import FamilyWeights
from hearth_build.importing.recipe import import_recipe
from hearth_build.importing.recorded_inputs import RecordedInputs
from hearth_build.importing.source import INDEX, Source, require_files
from hearth_build.importing.streamed_model import StreamedModel, return_freed_matrices
from hearth_build.importing.tensor_files import TensorFiles, fingerprint
from hearth_build.onnx_export import decoder_graph, export
from hearth_build.onnx_export.decoder_architecture import Architecture
from hearth_build.onnx_export.decoder_matrices import DETAILS, Precision
from hearth_build.pipeline import model_card
from hearth_build.pipeline.evaluation import evaluation_of
from hearth_build.pipeline.manifest import graph_bytes, manifest_of
from hearth_build.pipeline.train import console
from hearth_build.recipe import BlockInt4, DynamicInt8, NoQuantization, Quantizer, Recipe, RecipeError

PROMPTS = (
    "Once upon a time, there was a little girl named Lily. She loved to play outside in the park.",
    "The capital of France is",
    "def add(a, b):\n    return a + b\n\n\ndef subtract(a, b):\n",
)
"""Golden inputs, whose answers are replayed when the artifact is published or deployed."""
GOLDEN_TOLERANCE = 0.5
"""Of a log-probability: a golden answer is the served model's own, so this is for other processors' rounding."""
REFERENCE = Path(__file__).with_name("reference.txt")
REFERENCE_TOKENS = 1024
CALIBRATION = Path(__file__).with_name("calibration.txt")
CALIBRATION_TOKENS = 2048
"""Their inputs take less disk than the artifact of a model of a billion parameters or more."""
CALIBRATION_WINDOW = 256
"""Tokens that are read together: different places of a text tell more than a long context."""
LARGEST_REFERENCE = 64_000_000
"""Log-probabilities that are compared: tokens times vocabulary."""
CHAT_TEMPLATE = "chat_template.jinja"
CHARACTERS_PER_TOKEN = 20
"""Upper bound for real texts. It limits the characters of a prompt."""
LARGE = 500_000_000
"""Parameters from which 4 bits are tried: larger models lose less by them, and are slower by their size."""
MAX_DIVERGENCE: dict[Precision, float] = {"int4": 0.1, "int8": 0.05, "fp32": 0.001}
"""Largest mean Kullback-Leibler divergence from transformers' model, in nats per token."""
QUANTIZERS: dict[Precision, Quantizer] = {"fp32": NoQuantization(), "int8": DynamicInt8(), "int4": BlockInt4()}
DIVERGENCE = "divergence"
"""Name of the metric that the gate limits."""


@dataclass(frozen=True)
class DecoderImport:
    source: Source
    recipe: Recipe
    weights: FamilyWeights
    architecture: Architecture
    data: Path | None
    """A text to compare on, in place of REFERENCE."""
    calibrate: Path | None
    """A text to round 4 bits by, in place of CALIBRATION."""
    is_whole: bool = True
    """Whether the model has all its layers."""

    @property
    def parameters(self) -> int:
        return sum(int(np.prod(entry.shape)) for entry in self.weights.files.entries.values())

    @property
    def line(self) -> str:
        architecture = self.architecture
        return (
            f"{self.weights.config.model_type}: text-generation, {self.parameters / 1e6:,.4g} million parameters, "
            f"{architecture.layers} layers, context of {architecture.context:,} tokens"
        )

    def build(self, work: Path, command: str, precision: str) -> tuple[Manifest, list[str]]:
        """Build `work`/artifact; returns its manifest, and a sentence about each precision that was tried.

        Without a chosen precision, that is the first within MAX_DIVERGENCE. Raises RecipeError for an architecture
        whose graph differs from transformers' model.
        """
        work.mkdir(parents=True, exist_ok=True)
        return_freed_matrices()
        tried: Sequence[Any] = (precision,)
        if precision == "auto":
            tried = ("int4", "int8", "fp32") if self.parameters >= LARGE else ("int8", "fp32")
        recorded = RecordedInputs(work / "inputs")
        reference = self.reference(work, recorded if "int4" in tried else None)
        sentences = []
        for candidate in tried:
            self.write(work, candidate, recorded)
            manifest = self.verify(work, candidate, command, reference)
            sentences.append(describe(candidate, manifest))
            divergence = manifest.metrics.served[DIVERGENCE]
            if divergence <= MAX_DIVERGENCE[candidate]:
                break
            if candidate == "fp32":
                raise RecipeError(
                    f"{self.source.title} cannot be imported: its graph differs from transformers' model "
                    f"({divergence:.3g} nats a token), so it has a feature that is not supported. Export it to ONNX "
                    "and import the graph."
                )
            if candidate == precision:  # rounding is accepted where it was asked for, a wrong graph never is
                self.first_layers().build(work / "fp32", command, "fp32")
                shutil.rmtree(work / "fp32")
        save_manifest(manifest, work / "artifact")
        shutil.rmtree(recorded.folder, ignore_errors=True)
        return manifest, [*sentences, f"precision: {candidate}"] if precision == "auto" else sentences

    def first_layers(self) -> DecoderImport:
        """The model cut off after at least one layer of each kind, which fp32 has little memory and disk for."""
        architecture, config = self.architecture, copy.deepcopy(self.weights.config)
        kinds = [
            (architecture.windows[index : index + 1], architecture.layer_rotary[index : index + 1])
            for index in range(architecture.layers)
        ]
        layers = 1 + max(kinds.index(kind) for kind in kinds)
        config.num_hidden_layers = layers
        for name in ("layer_types", "no_rope_layers"):
            if getattr(config, name, None):
                setattr(config, name, getattr(config, name)[:layers])
        head = self.recipe.head
        assert isinstance(head, Decoder)
        return replace(
            self,
            recipe=replace(self.recipe, head=structs.replace(head, layers=layers)),
            weights=FamilyWeights(self.weights.family, config, self.weights.files),
            architecture=replace(architecture, layers=layers),
            is_whole=False,
        )

    def reference(self, work: Path, recorded: RecordedInputs | None = None) -> Reference:
        """Read the text with transformers' model; done once for a checkpoint and its texts. `recorded` gets the inputs
        that 4 bits are rounded by."""
        path = work / "reference.npz"
        text = (self.data or REFERENCE).read_text(encoding="utf-8")
        key = json.dumps([fingerprint(self.source.folder), text, self.calibration()])
        if path.is_file():
            stored = dict(np.load(path))
            if str(stored["key"]) == key and (recorded is None or recorded.open()):
                return Reference(stored["tokens"].tolist(), stored["expected"])
        console.print("Reading pages of text with transformers' model …")
        tokens = self.tokens(text)[: min(REFERENCE_TOKENS, self.architecture.context)]
        start = len(tokens) // 2
        tokens = tokens[: start + max(8, min(start, LARGEST_REFERENCE // self.architecture.vocabulary))]
        model = StreamedModel(self.source, self.weights.config, self.weights.files)
        expected = model.log_probabilities(tokens, start)
        if recorded is not None:
            window = min(CALIBRATION_WINDOW, self.architecture.context)
            model.record(self.tokens(self.calibration())[:CALIBRATION_TOKENS], window, recorded)
        np.savez(path, key=key, tokens=tokens, expected=expected)
        return Reference(tokens, expected)

    def calibration(self) -> str:
        path = self.calibrate or CALIBRATION
        if not path.is_file():
            raise DataError(f"--calibrate {path} is no file. Give a text file.")
        return read_text(path)

    def tokens(self, text: str) -> list[int]:
        """Raises RecipeError for too few."""
        tokens: list[int] = Tokenizer.from_file(str(self.source.folder / "tokenizer.json")).encode(text).ids
        if len(tokens) < 16:
            raise RecipeError(
                f"{self.source.folder}/tokenizer.json makes only {len(tokens)} tokens of a text of {len(text):,} "
                "characters; give a page of text."
            )
        return tokens

    def write(self, work: Path, precision: Precision, recorded: RecordedInputs) -> None:
        """Write the graph, unless that of an interrupted import is complete."""
        folder, marker = work / "artifact", work / "source.txt"
        calibration = self.calibration() if precision == "int4" else ""
        key = json.dumps([precision, fingerprint(self.source.folder), calibration])
        if (folder / "model.onnx").exists() and marker.exists() and marker.read_text(encoding="utf-8") == key:
            return
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        weights = self.weights
        with Progress(console=console, transient=True) as progress:
            task = progress.add_task("", total=self.architecture.layers + 2)

            def advance(part: str) -> None:
                progress.update(task, description=f"{precision}: {part}", advance=1)

            def inputs(name: str) -> np.ndarray | None:
                sources = weights.sources(f"{name}.weight")
                return recorded.load(sources[0]) if sources else None

            decoder_graph.write_decoder(self.architecture, weights, folder / "model.onnx", precision, inputs, advance)
        if self.is_whole:
            weights.check_all_read()
        marker.write_text(key, encoding="utf-8")

    def verify(self, work: Path, precision: Precision, command: str, reference: Reference) -> Manifest:
        """Compare the graph with the reference and complete the artifact, except for its manifest."""
        folder = work / "artifact"
        for path in folder.iterdir():
            if path.name not in export.files("main"):
                path.unlink()
        shutil.copyfile(self.source.folder / "tokenizer.json", folder / "tokenizer.json")
        for name, make in self.recipe.resources.items():
            (folder / name).write_bytes(make(work))
        recipe = replace(self.recipe, quantization=QUANTIZERS[precision])
        draft = manifest_of(recipe, folder, DETAILS[precision], command, 0.0)
        served = Model[Any, Any](draft, folder, threads=torch.get_num_threads())
        with console.status(f"Comparing the {precision} graph with transformers' model"):
            metrics = compare(served, reference)
            evaluation, answers, seconds = evaluation_of(recipe.task), [], []
            for prompt in recipe.golden():
                started = time.perf_counter()
                answers.append({"inputs": prompt, "answer": evaluation.predict(served, prompt)})
                seconds.append(time.perf_counter() - started)
        golden = {"tolerance": GOLDEN_TOLERANCE, "expected": {}, "cases": answers}
        (folder / "golden.json").write_text(json.dumps(golden, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        size = graph_bytes(recipe, folder)
        results = Metrics(
            dataset=self.data.name if self.data else "a page of text",
            torch={
                "perplexity": reference.perplexity,
                "bytes": float(sum(e.size for e in self.weights.files.entries.values())),
            },
            fp32={},
            served=metrics | {"bytes": float(size), "milliseconds": 1000 * statistics.median(seconds)},
            metric=DIVERGENCE,
        )
        draft = manifest_of(recipe, folder, DETAILS[precision], command, 0.0, results)
        (folder / "report.md").write_text(model_card.card(recipe, draft), encoding="utf-8")
        return manifest_of(recipe, folder, DETAILS[precision], command, 0.0, results)


@dataclass(frozen=True)
class Reference:
    """What transformers' model predicts for a text."""

    tokens: list[int]
    expected: np.ndarray
    """Log-probabilities (last tokens, vocabulary) of what follows each of the last tokens."""

    @property
    def perplexity(self) -> float:
        return perplexity(self.expected, self.tokens)


def perplexity(logprobs: np.ndarray, tokens: Sequence[int]) -> float:
    """Of the tokens after the first of the last ones, whose following tokens `logprobs` predicts."""
    following = tokens[len(tokens) - len(logprobs) + 1 :]
    return float(np.exp(-logprobs[np.arange(len(following)), following].mean()))


def compare(served: Any, reference: Reference) -> dict[str, float]:
    """The metrics of a served model on the reference's text, read with its key-value cache."""
    tokens, expected = reference.tokens, reference.expected
    start = len(tokens) - len(expected)
    cache = KeyValueCache(served, len(tokens))
    logprobs = np.empty_like(expected)
    for first in range(0, len(tokens), CHUNK):
        chunk = tokens[first : first + CHUNK]
        rows = range(max(0, start - first), len(chunk))
        logits = cache.read(chunk, rows or (-1,))
        if rows:
            logprobs[first + rows[0] - start : first + len(chunk) - start] = log_probabilities(logits)
    divergence = agreement = 0.0
    for ours, theirs in zip(logprobs, expected, strict=True):
        divergence += float((np.exp(theirs) * (theirs - ours)).sum())
        agreement += float(ours.argmax() == theirs.argmax())
    count = len(expected)
    return {
        DIVERGENCE: max(0.0, divergence / count),
        "same next token": agreement / count,
        "perplexity": perplexity(logprobs, tokens),
    }


def describe(precision: str, manifest: Manifest) -> str:
    served, torch_metrics = manifest.metrics.served, manifest.metrics.torch
    return (
        f"{precision}: {served['bytes'] / 1e6:,.0f} MB, perplexity {served['perplexity']:.4g} (transformers: "
        f"{torch_metrics['perplexity']:.4g}), {served[DIVERGENCE]:.2g} nats of divergence a token, "
        f"the same next token in {served['same next token']:.0%}"
    )


def save_manifest(manifest: Manifest, folder: Path) -> None:
    partial = folder / "manifest.partial"
    partial.write_bytes(dump(manifest))
    partial.replace(folder / "manifest.json")


def read(source: Source, options: ImportOptions) -> ImportedModel:
    weights = INDEX if (source.folder / INDEX).is_file() else "model.safetensors"
    require_files(source, ("config.json", weights, "tokenizer.json"))
    config = read_config(source)
    files = TensorFiles(source.folder)
    model = StreamedModel(source, config, files)
    architecture = architecture_of(FAMILIES[config.model_type], config, model.rotary())
    weights = FamilyWeights(FAMILIES[config.model_type], config, files)
    recipe = decoder_recipe(source, options, architecture, weights)
    imported = DecoderImport(source, recipe, weights, architecture, options.data, options.calibrate)
    return ImportedModel(recipe, [imported.line], build=imported.build)


def read_config(source: Source) -> Any:
    """transformers' configuration. Raises RecipeError."""
    import transformers

    transformers.logging.set_verbosity_error()
    try:
        return transformers.AutoConfig.from_pretrained(source.folder)
    except Exception as error:  # validation errors of several libraries
        raise RecipeError(f"{source.folder}/config.json cannot be used: {str(error)[:300]}") from None


def decoder_recipe(
    source: Source, options: ImportOptions, architecture: Architecture, weights: FamilyWeights
) -> Recipe:
    config = source.config | source.read_json("generation_config.json")  # which has the ids of the special tokens
    eos, bos, template = config.get("eos_token_id"), config.get("bos_token_id"), chat_template(source)
    if eos is None:
        eos_ids: tuple[int, ...] = ()
    else:
        eos_ids = tuple(eos) if isinstance(eos, list) else (eos,)
    tokenizer = Tokenizer.from_file(str(source.folder / "tokenizer.json"))
    largest_id = max(tokenizer.get_vocab().values(), default=0)
    if largest_id >= architecture.vocabulary:
        raise RecipeError(
            f"{source.folder}/tokenizer.json has token ids up to {largest_id}, but vocab_size in config.json is "
            f"{architecture.vocabulary}; the two files do not belong to the same model."
        )
    return import_recipe(
        source,
        options,
        task="text-generation",
        description=f"A decoder, imported: {source.title}.",
        graphs={"main": lambda network, path: decoder_graph.write_decoder(architecture, weights, path)},
        golden=lambda: [text for text in PROMPTS if len(tokenizer.encode(text).ids) < architecture.context - 1],
        preprocessing=TextPreprocessing(tokenizer="tokenizer.json", max_tokens=architecture.context),
        head=decoder_graph.head(architecture, eos_ids, bos, CHAT_TEMPLATE if template else None, reusable=True),
        resources={CHAT_TEMPLATE: lambda work: template.encode()} if template else {},
        limits=Limits(batch=1, characters=CHARACTERS_PER_TOKEN * architecture.context),
    )


def chat_template(source: Source) -> str | None:
    """Return the chat template from its own file or from the tokenizer's configuration."""
    path = source.folder / CHAT_TEMPLATE
    if path.is_file():
        return path.read_text(encoding="utf-8")
    template = source.read_json("tokenizer_config.json").get("chat_template")
    if isinstance(template, list):  # several named templates
        template = {entry["name"]: entry["template"] for entry in template}.get("default")
    return template


def accepts(source: Source, options: ImportOptions) -> bool:
    architectures = source.config.get("architectures") or [""]
    is_decoder = source.model_type in FAMILIES and str(architectures[0]).endswith(("ForCausalLM", "LMHeadModel"))
    return not source.is_file and bool(source.weights) and is_decoder


IMPORTERS = (Importer(f"decoders ({', '.join(FAMILIES)})", accepts, read),)
