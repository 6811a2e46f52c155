"""Imported decoders predict what transformers' models predict, at every precision, and bad checkpoints are refused."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from hearth.models.manifest import Manifest, parse
from hearth.models.model import Model
from hearth.ops.text.sampling import log_probabilities
from hearth.tasks.generation import KeyValueCache, Sampling, generate
from hearth_build.data.datasets import DataError
from hearth_build.importing import decoders, read
from hearth_build.importing.base import ImportOptions
from hearth_build.importing.recorded_inputs import RecordedInputs
from hearth_build.recipe import RecipeError
from tests.export.importing.decoder_checkpoints import CONFIGS, V, save, save_stories

TOKENS = np.random.default_rng(3).integers(2, V, 60).tolist()


def build(folder: Path, work: Path, precision: str = "fp32") -> tuple[Model[Any, Any], Manifest]:
    imported = read(str(folder), ImportOptions(name="tiny"))
    assert imported.build is not None
    manifest, _ = imported.build(work, "hearth import", precision)
    assert parse((work / "artifact" / "manifest.json").read_bytes()) == manifest
    return Model(manifest, work / "artifact", threads=1), manifest


def logits_of(model: Model[Any, Any], tokens: list[int], size: int) -> np.ndarray:
    """Logits after each token, read `size` tokens at a time."""
    cache = KeyValueCache(model, len(tokens))
    parts = [tokens[start : start + size] for start in range(0, len(tokens), size)]
    return np.concatenate([cache.read(part, range(len(part))).copy() for part in parts])


@pytest.mark.parametrize("name", CONFIGS)
def test_an_import_predicts_what_transformers_predicts(tmp_path: Path, name: str) -> None:
    network = save(tmp_path / "model", name)
    model, manifest = build(tmp_path / "model", tmp_path / "work")
    assert manifest.metrics.served["divergence"] < 1e-5
    with torch.no_grad():
        expected = network(torch.tensor([TOKENS])).logits[0].numpy()
    for size in (1, 17, 60):
        np.testing.assert_allclose(
            log_probabilities(logits_of(model, TOKENS, size)), log_probabilities(expected), atol=1e-4
        )
    prompt = TOKENS[:20]
    generated = network.generate(torch.tensor([prompt]), do_sample=False, max_new_tokens=30, pad_token_id=0)
    pieces = list(generate(model, prompt, 30, Sampling()))
    assert [piece.token for piece in pieces] == generated[0, len(prompt) :].tolist()


@pytest.mark.parametrize("name", ["llama, tied, heads of 24, biases", "gpt2", "gemma3", "bloom"])
@pytest.mark.parametrize(("precision", "divergence"), [("int8", 0.05), ("int4", 0.6)])
def test_a_quantized_import_is_close_to_transformers(
    tmp_path: Path, name: str, precision: str, divergence: float
) -> None:
    save(tmp_path / "model", name, torch.bfloat16)
    model, manifest = build(tmp_path / "model", tmp_path / "work", precision)
    assert 0 < manifest.metrics.served["divergence"] < divergence
    # A token's result does not depend on what else is read with it: each has its own scale.
    alone, together = (log_probabilities(logits_of(model, TOKENS, size)) for size in (1, 60))
    assert float((np.exp(together) * (together - alone)).sum(-1).mean()) < 1e-3


@pytest.mark.skipif("HEARTH_DATA" not in os.environ, reason="HEARTH_DATA is not set: the weights are not here")
@pytest.mark.slow
def test_calibrated_rounding_is_better_on_a_text_it_has_not_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_stories(tmp_path / "model")
    calibrated = build(tmp_path / "model", tmp_path / "calibrated", "int4")[1]
    assert not (tmp_path / "calibrated" / "inputs").exists()
    monkeypatch.setattr(RecordedInputs, "load", lambda self, name: None)
    plain = build(tmp_path / "model", tmp_path / "plain", "int4")[1]
    # 0.12 instead of 0.15 nats
    assert calibrated.metrics.served["divergence"] < 0.9 * plain.metrics.served["divergence"]


def test_a_text_of_ones_own_replaces_the_calibration(tmp_path: Path) -> None:
    save(tmp_path / "model", "llama")
    (tmp_path / "mine.txt").write_text("The dog did not mind. " * 20, encoding="utf-8")
    for name, options in (("default", {}), ("mine", {"calibrate": tmp_path / "mine.txt"})):
        imported = read(str(tmp_path / "model"), ImportOptions(name="tiny", **options))
        assert imported.build is not None
        imported.build(tmp_path / name, "", "int4")
    weights = [(tmp_path / name / "artifact" / "model.bin").read_bytes() for name in ("default", "mine")]
    assert weights[0] != weights[1]


def test_a_calibration_that_is_no_text_says_so(tmp_path: Path) -> None:
    save(tmp_path / "model", "llama")
    (tmp_path / "latin.txt").write_text("schön", encoding="cp1252")
    for name, message in (("model", "is no file"), ("latin.txt", "is not UTF-8")):
        imported = read(str(tmp_path / "model"), ImportOptions(name="tiny", calibrate=tmp_path / name))
        assert imported.build is not None
        with pytest.raises(DataError, match=message):
            imported.build(tmp_path / "work", "", "int4")


def test_shards_and_one_file_give_the_same_graph(tmp_path: Path) -> None:
    save(tmp_path / "one", "llama", torch.bfloat16)
    save(tmp_path / "many", "llama", torch.bfloat16, max_shard_size="60KB")
    assert len(list((tmp_path / "many").glob("*.safetensors"))) > 2
    for name in ("one", "many"):
        build(tmp_path / name, tmp_path / f"{name}-work", "int8")
    weights = [(tmp_path / f"{name}-work" / "artifact" / "model.bin").read_bytes() for name in ("one", "many")]
    assert weights[0] == weights[1]


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_tied_matrix_is_stored_once(tmp_path: Path, precision: str) -> None:
    save(tmp_path / "tied", "gpt2")
    save(tmp_path / "untied", "gpt2")
    weights = load_file(tmp_path / "untied" / "model.safetensors")
    save_file(
        weights | {"lm_head.weight": weights["transformer.wte.weight"].clone()},
        tmp_path / "untied" / "model.safetensors",
        metadata={"format": "pt"},
    )
    config = json.loads((tmp_path / "untied" / "config.json").read_text())
    (tmp_path / "untied" / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": False}))
    sizes = []
    for name in ("tied", "untied"):
        build(tmp_path / name, tmp_path / f"{name}-work", precision)
        sizes.append((tmp_path / f"{name}-work" / "artifact" / "model.bin").stat().st_size)
    assert sizes[1] - sizes[0] >= V * 64 * (4 if precision == "fp32" else 1)


def test_auto_prefers_int8_and_keeps_fp32_where_rounding_costs_too_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path / "model", "llama")
    assert build(tmp_path / "model", tmp_path / "work", "auto")[1].quantization.method == "dynamic-int8"
    monkeypatch.setitem(decoders.MAX_DIVERGENCE, "int8", 1e-9)
    assert build(tmp_path / "model", tmp_path / "work", "auto")[1].quantization.method == "none"


def test_a_wrong_graph_is_refused_at_every_precision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "model", "gemma2")
    monkeypatch.setattr(decoders, "architecture_of", without_score_cap)
    for precision in ("auto", "int4", "fp32"):
        with pytest.raises(RecipeError, match="differs from transformers' model"):
            build(tmp_path / "model", tmp_path / "work", precision)
        assert not (tmp_path / "work" / "artifact" / "manifest.json").exists()


def test_the_first_layers_have_every_kind(tmp_path: Path) -> None:
    save(tmp_path / "model", "smollm3")
    imported = read(str(tmp_path / "model"), ImportOptions(name="tiny"))
    assert imported.build is not None
    first = imported.build.__self__.first_layers()  # type: ignore[attr-defined]
    assert first.architecture.layers == 2  # one with rotary positions, one without
    manifest, _ = first.build(tmp_path / "work", "", "fp32")
    assert manifest.metrics.served["divergence"] < 1e-5


def without_score_cap(*arguments: Any) -> Any:
    from dataclasses import replace

    from hearth_build.importing.decoder_families import architecture_of

    return replace(architecture_of(*arguments), score_cap=0.0)


def test_an_interrupted_import_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "model", "llama")
    imported = read(str(tmp_path / "model"), ImportOptions(name="tiny"))
    assert imported.build is not None
    monkeypatch.setattr(decoders, "compare", interrupt)
    with pytest.raises(KeyboardInterrupt):
        imported.build(tmp_path / "work", "", "int8")
    monkeypatch.undo()
    monkeypatch.setattr(decoders, "StreamedModel", interrupt)
    monkeypatch.setattr(decoders.decoder_graph, "write_decoder", interrupt)
    imported.build(tmp_path / "work", "", "int8")
    assert (tmp_path / "work" / "artifact" / "manifest.json").exists()


def interrupt(*arguments: Any) -> Any:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vocab_size": 30}, "do not belong to the same model"),
        ({"hidden_act": "tanh"}, "activation 'tanh' is not supported"),
        ({"intermediate_size": 48}, "do not belong to the same model"),
        ({"num_hidden_layers": 4}, "has no model.layers.3"),
        ({"num_hidden_layers": 2}, "weights that a llama model does not use"),
        ({"num_attention_heads": "four"}, "cannot be used"),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    save(tmp_path, "llama")
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(RecipeError, match=message):
        build(tmp_path, tmp_path / "work")


def test_data_replaces_the_reference_text(tmp_path: Path) -> None:
    save(tmp_path / "model", "llama")
    (tmp_path / "mine.txt").write_text("The dog did not mind. " * 20, encoding="utf-8")
    imported = read(str(tmp_path / "model"), ImportOptions(name="tiny", data=tmp_path / "mine.txt"))
    assert imported.build is not None
    manifest, sentences = imported.build(tmp_path / "work", "", "fp32")
    assert manifest.metrics.dataset == "mine.txt"
    assert "the same next token in 100%" in sentences[0]


@pytest.fixture(autouse=True)
def _clean(tmp_path: Path) -> Any:
    yield
    shutil.rmtree(tmp_path, ignore_errors=True)
