"""The training data of translators, and the graphs that serve them."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from tokenizers import Tokenizer

from hearth.models.manifest import parse
from hearth.models.model import Model
from hearth_build.data import translation
from hearth_build.data.datasets import DataError, text_key
from hearth_build.data.translation import EOS_ID, PAD_ID, Pairs, joint_bpe, language_token, scripts, write_pairs
from hearth_build.evaluations.translation import with_language_token
from hearth_build.networks.marian import Marian, Shape
from hearth_build.onnx_export import export
from hearth_build.onnx_export.quantize import quantize
from hearth_build.onnx_export.seq2seq_graphs import DecoderStep, Encoder, graphs, head
from hearth_build.pipeline.build import build
from hearth_build.pipeline.evaluation import evaluation_of
from hearth_build.pipeline.measurements import DIFFERENCE
from hearth_build.recipe import DynamicInt8, Example, Gate
from hearth_build.recipes.translate_en_de import data as en_de
from hearth_build.recipes.translate_en_de.recipe import RECIPE
from hearth_build.recipes.translate_en_zh import data as en_zh

PAIRS = [
    ("A man is walking.", "Ein Mann geht."),
    ("Two dogs play in the snow.", "Zwei Hunde spielen im Schnee."),
    ("A man sits.", "Ein Mann sitzt."),
    ("A woman and a man are walking in the snow.", "Eine Frau und ein Mann gehen im Schnee."),
]
SHAPE = Shape(
    vocabulary=120,
    hidden=32,
    encoder_layers=2,
    decoder_layers=2,
    heads=4,
    intermediate=48,
    positions=40,
    pad=PAD_ID,
    dropout=0.0,
)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("translation")
    texts = [text for pair in PAIRS for text in pair] * 4
    joint_bpe(texts, 120, lowercase=True, special=[">>de<<"]).save(str(folder / "tokenizer.json"))
    write_pairs(folder, "train", PAIRS)
    return folder


def test_decoded_tokens_give_the_text(work: Path) -> None:
    tokenizer = Tokenizer.from_file(str(work / "tokenizer.json"))
    for text in (text for pair in PAIRS for text in pair):
        assert tokenizer.decode(tokenizer.encode(text).ids) == text.lower()
    assert tokenizer.encode(">>de<< a man").tokens[0] == ">>de<<"
    assert tokenizer.encode("a man").ids[-1] == EOS_ID


def test_each_chinese_character_is_a_token() -> None:
    tokenizer = joint_bpe(["我喜歡讀書。", "我喜歡讀書。", "I like it."] * 9, 60, lowercase=True, characters=True)
    assert tokenizer.encode("我喜歡").tokens == ["▁", "我", "喜", "歡", "</s>"]
    assert tokenizer.decode(tokenizer.encode("我喜歡。").ids) == "我喜歡。"


def test_scripts_of_a_text() -> None:
    assert scripts("我们读书") == ["zh-Hans"]
    assert scripts("我們讀書") == ["zh-Hant"]
    assert scripts("你好") == ["zh-Hans", "zh-Hant"]
    assert scripts("我们讀書") == []
    assert scripts("hello") == []


def test_batches_hold_every_pair_once_and_are_shifted(work: Path) -> None:
    pairs = Pairs.read(work, "train", 20)
    plan = pairs.plan(epoch=0, size=20, seed=1)
    assert sorted(index for batch in plan for index in batch) == [0, 1, 2, 3]
    assert plan == pairs.plan(0, 20, 1)
    assert len(plan) == len(pairs.plan(1, 20, 1))
    batch = pairs.collate([1, 2], 0.0)
    rows = [pairs.targets[1], pairs.targets[2]]
    assert batch["labels"].tolist() == [*rows[0], *rows[1]]
    assert batch["decoder_input_ids"][0].tolist() == [PAD_ID, *rows[0][:-1]]
    assert batch["decoder_input_ids"][1, : len(rows[1])].tolist() == [PAD_ID, *rows[1][:-1]]


def test_padding_changes_no_loss(work: Path) -> None:
    torch.manual_seed(1)
    network, pairs = Marian(SHAPE).eval(), Pairs.read(work, "train", 20)
    with torch.no_grad():
        batched = translation.logits_of(network, pairs.collate([0, 3], 0.0))
        alone = torch.cat([translation.logits_of(network, pairs.collate([index], 0.0)) for index in (0, 3)])
        metrics = translation.score(network, pairs)
    torch.testing.assert_close(batched, alone, atol=1e-5, rtol=1e-4)
    assert 0 <= metrics["accuracy"] <= 1
    assert metrics["entropy"] > 0


def test_decoding_step_by_step_gives_the_networks_logits() -> None:
    torch.manual_seed(2)
    network = Marian(SHAPE).eval()
    ids, mask = torch.randint(3, 120, (2, 7)), torch.ones(2, 7, dtype=torch.int64)
    mask[1, 4:] = 0
    tokens = torch.randint(3, 120, (6, 5))
    past = [torch.zeros(6, 4, 0, 8)] * 4
    with torch.no_grad():
        cross = Encoder(network)(ids, mask)
        step = DecoderStep(network)
        for position in range(5):
            logits, *past = step(tokens[:, position : position + 1], mask, *cross, *past)
        expected = network(ids.repeat_interleave(3, 0), mask.repeat_interleave(3, 0), tokens)[:, -1]
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=1e-4)


def test_the_output_matrix_and_the_embedding_are_stored_once(tmp_path: Path) -> None:
    torch.manual_seed(3)
    network = Marian(SHAPE).eval()
    raw, quantized = tmp_path / "raw.onnx", tmp_path / "small.onnx"
    graphs(SHAPE)["decoder"](network, raw)
    quantize(DynamicInt8(), tmp_path, raw, quantized)
    export.optimise(quantized, tmp_path / "served", "decoder")
    model = onnx.load(str(tmp_path / "served" / "decoder.onnx"))
    matrices = [tensor for tensor in model.graph.initializer if sorted(tensor.dims) == [32, 120]]
    assert [numpy_helper.to_array(tensor).dtype for tensor in matrices] == [np.dtype(np.int8)]


def test_a_translator_is_built_and_measured_in_the_references_script(work: Path, tmp_path: Path) -> None:
    """From a random network to an artifact: torch, fp32 and served graphs predict through the function."""

    def network(work: Path) -> Marian:
        torch.manual_seed(4)
        return Marian(SHAPE)

    recipe = replace(
        RECIPE,
        prepare=lambda folder: (folder / "tokenizer.json").write_bytes((work / "tokenizer.json").read_bytes()),
        stages=(),
        sources=(),
        network=network,
        graphs=graphs(SHAPE),
        head=head(SHAPE, start=PAD_ID, eos=EOS_ID, max_new=12, beams=2, source=("en",), target=("zh-Hans", "zh-Hant")),
        dev={"pairs": lambda folder: [Example(*pair) for pair in PAIRS]},
        gate=Gate(metric=0.0, quantization_loss=100.0, bytes=2_000_000, difference=1.0),
    )
    folder = build(recipe, tmp_path, "tests")
    manifest = parse((folder / "manifest.json").read_bytes())
    assert set(manifest.graphs) == {"main", "decoder"}
    metrics = manifest.metrics
    assert metrics.torch["BLEU"] == pytest.approx(metrics.fp32["BLEU"], abs=1e-6)
    assert metrics.fp32[DIFFERENCE] == 0
    assert metrics.served["bytes"] < metrics.fp32["bytes"]
    model = Model(manifest, folder, threads=1)
    assert with_language_token(model, Example("I read.", "我讀書")) == ">>zh-Hant<< I read."
    assert with_language_token(model, Example("I read.", "我读书")) == ">>zh-Hans<< I read."
    assert with_language_token(model, Example(">>zh-Hant<< I read.", "我读书")) == ">>zh-Hant<< I read."
    assert with_language_token(model, Example("I read.", "Ich lese.")) == "I read."


def test_evaluation_reads_pairs_and_names_the_format(tmp_path: Path) -> None:
    evaluation = evaluation_of("translation")
    path = tmp_path / "pairs.tsv"
    path.write_text("A man.\tEin Mann.\n\nA dog.\tEin Hund.\n", encoding="utf-8")
    assert evaluation.read(path) == [Example("A man.", "Ein Mann."), Example("A dog.", "Ein Hund.")]
    path.write_text("A man.\n", encoding="utf-8")
    with pytest.raises(DataError, match="needs source and target"):
        evaluation.read(path)
    assert evaluation.difference("Ein Mann.", "Ein Mann.") == 0
    assert 0 < evaluation.difference("Ein Mann geht.", "Ein Mann steht.") < 0.7
    assert evaluation.difference("Ein Mann.", "") == 1


@pytest.mark.skipif("HEARTH_DATA" not in os.environ, reason="HEARTH_DATA is not set")
def test_no_split_of_the_chinese_data_overlaps_another() -> None:
    splits = en_zh.split_pairs()
    sources = {name: {text_key(source.split("<< ")[1]) for source, _ in split} for name, split in splits.items()}
    assert not sources["train"] & sources["val"]
    assert not sources["train"] & sources["held"]
    assert not sources["held"] & sources["val"]
    assert len(splits["val"]) > 900
    for source, target in splits["val"]:
        assert source.startswith(tuple(language_token(script) for script in scripts(target)))


@pytest.mark.skipif("HEARTH_DATA" not in os.environ, reason="HEARTH_DATA is not set")
def test_no_caption_of_the_evaluation_is_in_the_training_data() -> None:
    splits = en_de.split_pairs()
    trained = {text_key(text) for name in ("train", "held") for pair in splits[name] for text in pair}
    assert not trained & {text_key(text) for pair in splits["val"] for text in pair}
    assert len(splits["val"]) == 1014
