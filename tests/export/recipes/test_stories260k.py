"""stories260k against a plain NumPy reference of llama2.c's arithmetic, on the published weights."""

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
from hearth_build.pipeline.manifest import manifest_of
from hearth_build.recipe import load
from hearth_build.recipes.stories260k import data
from hearth_functions.text_generation import app

pytestmark = pytest.mark.skipif("HEARTH_DATA" not in os.environ, reason="HEARTH_DATA names the folder of weights")
PROMPT = "Once upon a time"
STORY = "Once upon a time, there was a little girl named Lily. She loved to play outside in the park."


class Reference:
    """llama2.c's `forward`: float32, one token at a time, rotary positions on adjacent pairs."""

    def __init__(self, raw: bytes) -> None:
        dim, hidden, layers, heads, kv_heads, vocabulary, _ = struct.unpack_from("<7i", raw)
        self.head, self.heads, self.group = dim // heads, heads, heads // kv_heads
        kv = kv_heads * self.head
        numbers, offset = np.frombuffer(raw, "<f4", offset=28), 0
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
            self.weights.append(numbers[offset : offset + int(np.prod(size))].reshape(size))
            offset += int(np.prod(size))
        self.keys: list[list[np.ndarray]] = [[] for _ in range(layers)]
        self.values: list[list[np.ndarray]] = [[] for _ in range(layers)]

    def rotate(self, rows: np.ndarray, position: int) -> np.ndarray:
        angles = position / 10000 ** (np.arange(0, self.head, 2) / self.head)
        pairs = rows.reshape(-1, self.head // 2, 2)
        first, second = pairs[..., 0], pairs[..., 1]
        rotated = (first * np.cos(angles) - second * np.sin(angles), first * np.sin(angles) + second * np.cos(angles))
        return np.stack(rotated, -1).reshape(-1, self.head)

    def next(self, token: int) -> np.ndarray:
        """Return the logits of the next token."""
        embedding, norm1, wq, wk, wv, wo, norm2, w1, w2, w3, last = self.weights
        x = embedding[token]
        for layer, (keys, values) in enumerate(zip(self.keys, self.values, strict=True)):
            h = rms_norm(x, norm1[layer])
            query = self.rotate(wq[layer] @ h, len(keys))
            keys.append(self.rotate(wk[layer] @ h, len(keys)))
            values.append((wv[layer] @ h).reshape(-1, self.head))
            mixed = []
            for head in range(self.heads):
                shared = head // self.group
                scores = np.array([query[head] @ key[shared] for key in keys]) / self.head**0.5
                powers = np.exp(scores - scores.max())
                mixed.append(powers / powers.sum() @ np.array([value[shared] for value in values]))
            x = x + wo[layer] @ np.concatenate(mixed)
            h = rms_norm(x, norm2[layer])
            gate = w1[layer] @ h
            x = x + w2[layer] @ (gate / (1 + np.exp(-gate)) * (w3[layer] @ h))
        return embedding @ rms_norm(x, last)


def rms_norm(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    return weight * x / np.sqrt((x * x).mean() + 1e-5)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stories260k")
    recipe = load("stories260k")
    prepare(recipe, folder)
    export_graphs(recipe, folder)
    quantize_graphs(recipe, folder)
    for name in ("fp32", "artifact"):
        (folder / name / "tokenizer.json").write_bytes((folder / "tokenizer.json").read_bytes())
    return folder


def model(work: Path, name: str) -> Model:
    return Model(manifest_of(load("stories260k"), work / name, "", "tests", 0.0), work / name, threads=1)


def generate(model: Model, count: int) -> tuple[str, list[int]]:
    parameters = app.Parameters(max_new_tokens=count, details=True, return_full_text=True)
    generated = app.predict(model, app.Request(PROMPT, parameters)).output[0]
    assert generated.details is not None
    return generated.generated_text, [token.id for token in generated.details.tokens]


def test_fp32_generates_the_references_tokens(work: Path) -> None:
    served = model(work, "fp32")
    assert served.tokenizer is not None
    prompt = served.tokenizer.encode(PROMPT).ids
    assert prompt[0] == 1
    reference = Reference(data.WEIGHTS.file().read_bytes())
    for token in prompt:
        logits = reference.next(token)
    expected = []
    for _ in range(200):
        expected.append(int(logits.argmax()))
        logits = reference.next(expected[-1])
    text, tokens = generate(served, 200)
    assert tokens == expected
    assert text.startswith(STORY)


def test_the_torch_network_generates_the_same_tokens(work: Path) -> None:
    served = model(work, "fp32")
    network = network_of(load("stories260k"), work)
    assert network is not None
    assert generate(DecoderReference(network, served), 40) == generate(served, 40)  # type: ignore[arg-type]


def test_int8_generates_readable_text(work: Path) -> None:
    text, _ = generate(model(work, "artifact"), 120)
    assert text.startswith("Once upon a time, there was a little girl named Lily. She loved to play")
    vocabulary = set(generate(model(work, "fp32"), 400)[0].lower().replace(".", "").replace(",", "").split())
    words = text.lower().replace(".", "").replace(",", "").split()
    assert sum(word.strip("\"'!?") in vocabulary for word in words) / len(words) > 0.6


def test_the_tokenizer_decodes_to_the_same_text(work: Path) -> None:
    served = model(work, "fp32")
    assert served.tokenizer is not None
    for text in (STORY, "a  b", "Übermut 我 \n\t!", "<s> is no token here"[4:]):
        ids = served.tokenizer.encode(text).ids
        assert 0 not in ids
        assert served.tokenizer.decode(ids) == text
