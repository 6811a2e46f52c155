"""stories260k against a plain reference of llama2.c's arithmetic in NumPy, on the published weights."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import numpy as np
import pytest

from hearth.models.model import Model
from hearth_build.onnx_export.decoder_reference import DecoderReference
from hearth_build.onnx_export.export import network_of
from hearth_build.pipeline.build import export_graphs, prepare, quantize_graphs
from hearth_build.pipeline.verify import manifest_of
from hearth_build.recipe import load
from hearth_build.recipes.stories260k import data
from hearth_functions.text_generation import app

pytestmark = pytest.mark.skipif("HEARTH_DATA" not in os.environ, reason="HEARTH_DATA names the folder of weights")
PROMPT = "Once upon a time"
TOLD = "Once upon a time, there was a little girl named Lily. She loved to play outside in the park."


class Reference:
    """llama2.c's `forward`: float32, one token at a time, neighbours turned by rotary positions."""

    def __init__(self, raw: bytes) -> None:
        dim, hidden, layers, heads, kv_heads, vocabulary, _ = struct.unpack_from("<7i", raw)
        self.head, self.heads, self.group = dim // heads, heads, heads // kv_heads
        kv = kv_heads * self.head
        numbers, place = np.frombuffer(raw, "<f4", offset=28), 0
        self.weights = []
        for size in (
            (vocabulary, dim),
            (layers, dim),
            (layers, dim, dim),
            (layers, kv, dim),
            (layers, kv, dim),
            (layers, dim, dim),
            (layers, dim),
            (layers, hidden, dim),
            (layers, dim, hidden),
            (layers, hidden, dim),
            (dim,),
        ):
            self.weights.append(numbers[place : place + int(np.prod(size))].reshape(size))
            place += int(np.prod(size))
        self.keys: list[list[np.ndarray]] = [[] for _ in range(layers)]
        self.values: list[list[np.ndarray]] = [[] for _ in range(layers)]

    def turned(self, rows: np.ndarray, position: int) -> np.ndarray:
        angles = position / 10000 ** (np.arange(0, self.head, 2) / self.head)
        pairs = rows.reshape(-1, self.head // 2, 2)
        first, second = pairs[..., 0], pairs[..., 1]
        turned = (first * np.cos(angles) - second * np.sin(angles), first * np.sin(angles) + second * np.cos(angles))
        return np.stack(turned, -1).reshape(-1, self.head)

    def next(self, token: int) -> np.ndarray:
        """Logits of what follows."""
        embedding, norm1, wq, wk, wv, wo, norm2, w1, w2, w3, last = self.weights
        x = embedding[token]
        for layer, (keys, values) in enumerate(zip(self.keys, self.values, strict=True)):
            h = normalised(x, norm1[layer])
            query = self.turned(wq[layer] @ h, len(keys))
            keys.append(self.turned(wk[layer] @ h, len(keys)))
            values.append((wv[layer] @ h).reshape(-1, self.head))
            mixed = []
            for head in range(self.heads):
                shared = head // self.group
                scores = np.array([query[head] @ key[shared] for key in keys]) / self.head**0.5
                powers = np.exp(scores - scores.max())
                mixed.append(powers / powers.sum() @ np.array([value[shared] for value in values]))
            x = x + wo[layer] @ np.concatenate(mixed)
            h = normalised(x, norm2[layer])
            gate = w1[layer] @ h
            x = x + w2[layer] @ (gate / (1 + np.exp(-gate)) * (w3[layer] @ h))
        return embedding @ normalised(x, last)


def normalised(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    return weight * x / np.sqrt((x * x).mean() + 1e-5)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stories260k")
    recipe = load("stories260k")
    prepare(recipe, folder)
    export_graphs(recipe, folder)
    quantize_graphs(recipe, folder)
    for place in ("fp32", "artifact"):
        (folder / place / "tokenizer.json").write_bytes((folder / "tokenizer.json").read_bytes())
    return folder


def model(work: Path, place: str) -> Model:
    return Model(manifest_of(load("stories260k"), work / place, "", "tests", 0.0), work / place, threads=1)


def tell(told: Model, count: int) -> tuple[str, list[int]]:
    parameters = app.Parameters(max_new_tokens=count, details=True, return_full_text=True)
    found = app.predict(told, app.Request(PROMPT, parameters)).output[0]
    assert found.details is not None
    return found.generated_text, [token.id for token in found.details.tokens]


def test_fp32_goes_on_as_the_reference_does(work: Path) -> None:
    served = model(work, "fp32")
    assert served.tokenizer is not None
    prompt = served.tokenizer.encode(PROMPT).ids
    assert prompt[0] == 1
    reference = Reference(data.WEIGHTS.file().read_bytes())
    for token in prompt:
        logits = reference.next(token)
    wanted = []
    for _ in range(200):
        wanted.append(int(logits.argmax()))
        logits = reference.next(wanted[-1])
    text, found = tell(served, 200)
    assert found == wanted
    assert text.startswith(TOLD)


def test_the_torch_twin_says_the_same(work: Path) -> None:
    served = model(work, "fp32")
    network = network_of(load("stories260k"), work)
    assert network is not None
    assert tell(DecoderReference(network, served), 40) == tell(served, 40)  # type: ignore[arg-type]


def test_int8_is_readable(work: Path) -> None:
    text, _ = tell(model(work, "artifact"), 120)
    assert text.startswith("Once upon a time, there was a little girl named Lily. She loved to play")
    vocabulary = set(tell(model(work, "fp32"), 400)[0].lower().replace(".", "").replace(",", "").split())
    words = text.lower().replace(".", "").replace(",", "").split()
    assert sum(word.strip("\"'!?") in vocabulary for word in words) / len(words) > 0.6


def test_the_tokenizer_gives_texts_back(work: Path) -> None:
    served = model(work, "fp32")
    assert served.tokenizer is not None
    for text in (TOLD, "a  b", "Übermut 我 \n\t!", "<s> is no token here"[4:]):
        ids = served.tokenizer.encode(text).ids
        assert 0 not in ids
        assert served.tokenizer.decode(ids) == text
