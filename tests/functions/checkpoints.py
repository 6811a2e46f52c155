"""Small random BERT checkpoints with a WordPiece tokenizer, and the same checkpoints and word vectors as artifacts."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from huggingface_hub import InferenceClient
from msgspec.structs import replace
from numpy.typing import NDArray
from starlette.testclient import TestClient
from tokenizers import Regex, Tokenizer, decoders
from tokenizers.models import WordLevel
from tokenizers.normalizers import Lowercase
from tokenizers.pre_tokenizers import Split

from hearth import settings
from hearth.http.asgi import create_app
from hearth.models.cache import warm_cache
from hearth.models.heads import Pooling
from hearth.models.manifest import Limits, Manifest
from hearth.models.model import Model
from hearth.models.preprocessing import TextPreprocessing
from hearth.tasks.task import Task
from hearth_build.data.text import wordpiece
from hearth_build.importing import read
from hearth_build.importing.base import ImportOptions
from hearth_build.networks.sentence_encoder import graph
from hearth_build.networks.word_vectors import WordVectors
from hearth_build.onnx_export.export import describe, optimise
from hearth_build.pipeline.build import export_graphs, prepare
from hearth_build.pipeline.manifest import manifest_of
from hearth_build.recipe import Recipe
from hearth_build.recipes.glove_50d import recipe as glove
from tests.support.artifacts import describe_artifact, publish

TEXT = """the a of in on to and is was anna berg oslo berlin works for mill river hotel ten rooms who where when
bought film good bad it her uncle by new york ! ? . , - ' 1 8 7 3"""
WORDS = TEXT.split()
LETTERS = "abcdefghijklmnopqrstuvwxyz"
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
VOCABULARY += [letter for letter in LETTERS if letter not in VOCABULARY]
VOCABULARY += [f"##{piece}" for piece in (*LETTERS, "ing", "er", "ed", "s1")] + list("我非常喜欢这个电影北京")
LENGTH = 40
"""Largest number of tokens that the checkpoints accept."""
LABELS = {"id2label": {0: "contradiction", 1: "neutral", 2: "entailment"}}
RANDOM: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("masks", "BertForMaskedLM", {}),
    ("answers", "BertForQuestionAnswering", {}),
    ("entails", "BertForSequenceClassification", {**LABELS, "label2id": {v: k for k, v in LABELS["id2label"].items()}}),
)
"""Models with random weights for the tasks that have no model in the zoo."""
ROYALS = {"king": (1, 1, 0), "queen": (1, -1, 0), "man": (0, 1, 0), "woman": (0, -1, 0), "guitar": (0, 0, 1)}
"""Word vectors of which king - man + woman is queen."""


def save(folder: Path, kind: str, seed: int = 0, **config: Any) -> Any:
    """Save a checkpoint of transformers' class `kind` and its tokenizer into `folder`; return the torch model."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    shape = transformers.BertConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=LENGTH,
        **{"initializer_range": 0.3} | config,
    )
    network = getattr(transformers, kind)(shape).eval()
    network.save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY), encoding="utf-8")
    tokenizer = wordpiece(folder / "vocab.txt")
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.save(str(folder / "tokenizer.json"))
    return network


def save_network(folder: Path, kind: str, config: Any) -> Any:
    """Save a random model of transformers' class `kind` beside a tokenizer; return it."""
    save(folder, "BertModel")  # for its tokenizer
    torch.manual_seed(1)
    network = getattr(transformers, kind)(config).eval()
    network.save_pretrained(folder)
    return network


def tokenizer_of(folder: Path) -> Any:
    """Return the folder's tokenizer as transformers loads it."""
    names = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}
    return transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"),
        model_max_length=LENGTH,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        clean_up_tokenization_spaces=False,
        **names,
    )


def load(folder: Path, name: str | None = None) -> Recipe:
    """Return the recipe that `hearth import` makes of a folder."""
    return read(str(folder), ImportOptions(name=name)).recipe


def build_model(folder: Path, work: Path) -> Model:
    """Return the checkpoint's fp32 graph as a loaded artifact, as `hearth import` builds it."""
    recipe = load(folder)
    work.mkdir(parents=True, exist_ok=True)
    prepare(recipe, work)
    export_graphs(recipe, work)
    (work / "fp32" / "tokenizer.json").write_bytes((work / "tokenizer.json").read_bytes())
    for name, make in recipe.resources.items():
        (work / "fp32" / name).write_bytes(make(work))
    return Model(manifest_of(recipe, work / "fp32", "fp32", "tests", 0.0), work / "fp32", threads=1)


def word_vectors(words: Sequence[str], vectors: NDArray[np.float32], work: Path) -> Model:
    """Return word vectors (words, dimensions) as a loaded artifact with the tokenizer of glove-50d, named `words`."""
    dimensions = vectors.shape[1]
    graph()(WordVectors(torch.cat([torch.zeros(1, dimensions), torch.from_numpy(vectors)])), work / "raw.onnx")
    optimise(work / "raw.onnx", work / "fp32")
    tokenizer = Tokenizer(
        WordLevel({word: n for n, word in enumerate([glove.UNKNOWN, *words])}, unk_token=glove.UNKNOWN)
    )
    tokenizer.normalizer = Lowercase()
    tokenizer.pre_tokenizer = Split(Regex(glove.WORDS), behavior="removed", invert=True)
    tokenizer.save(str(work / "fp32" / "tokenizer.json"))
    manifest = describe_artifact(
        work / "fp32",
        model="words",
        version="1",
        task="feature-extraction",
        graph=describe(work / "fp32"),
        preprocessing=TextPreprocessing(tokenizer="tokenizer.json", max_tokens=50),
        head=Pooling(method="mean", normalise=False, dimensions=dimensions, words=True),
        limits=Limits(batch=8, characters=1000),
    )
    return Model(manifest, work / "fp32", threads=1)


def put(manifest: Manifest, work: Path, store: Path) -> None:
    """Copy the artifact that `build_model` left in `work` into a store, under the name in `manifest`."""
    shutil.copytree(work / "fp32", store / manifest.model / "1")
    publish(store / manifest.model / "1", manifest)


def put_random(work: Path, store: Path) -> None:
    """Build the models of RANDOM, and of ROYALS, in `work` and put them into a store."""
    for name, kind, config in RANDOM:
        save(work / name, kind, **config)
        model = build_model(work / name, work / name / "made")
        put(replace(model.manifest, model=name), work / name / "made", store)
    (work / "words").mkdir()
    words = word_vectors(list(ROYALS), np.array(list(ROYALS.values()), np.float32), work / "words")
    put(words.manifest, work / "words", store)


@dataclass
class ModelClient:
    """An HTTP client of one model of a function."""

    client: TestClient
    model: str

    def __call__(self, body: Any, task: str = "") -> Any:
        return self.client.post(f"/pipeline/{task}/{self.model}" if task else f"/models/{self.model}", json=body)

    def hub(self) -> InferenceClient:
        """Return a Hugging Face client whose requests go to this one."""

        def post(request: Any, stream: bool = False) -> bytes:
            response = self.client.post(request.url, json=request.json)
            assert response.status_code == 200, response.text
            return response.content

        client = InferenceClient(f"http://testserver/models/{self.model}", token="none")
        client._inner_post = post
        return client


@contextmanager
def serve(model: Model, work: Path, tasks: Sequence[Task]) -> Iterator[ModelClient]:
    """Serve the artifact that `build_model` left in `work`."""
    put(model.manifest, work, work / "store")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEARTH_STORE", (work / "store").as_uri())
        patch.setenv("HEARTH_CACHE_DIR", str(work / "cache"))
        settings.get.cache_clear()
        warm_cache.cache_clear()
        with TestClient(create_app(tasks), raise_server_exceptions=False) as client:
            yield ModelClient(client, model.manifest.model)
    settings.get.cache_clear()
    warm_cache.cache_clear()
