from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from hearth.models.manifest import parse
from hearth.models.model import Model
from hearth_build.data.datasets import DataError
from hearth_build.data.translation import EOS_ID, PAD_ID
from hearth_build.evaluations.translation import with_language_token
from hearth_build.networks.marian import Marian
from hearth_build.onnx_export.seq2seq_graphs import graphs, head
from hearth_build.pipeline.build import build
from hearth_build.pipeline.evaluation import evaluation_of
from hearth_build.pipeline.measurements import DIFFERENCE
from hearth_build.recipe import Example, Gate
from hearth_build.recipes.translate_en_de.recipe import RECIPE
from tests.export.toy_translation import PAIRS, SHAPE


def test_a_translator_is_built_and_measured_in_the_references_script(translation_work: Path, tmp_path: Path) -> None:
    """From a random network to an artifact: torch, fp32 and served graphs predict through the function."""

    def network(work: Path) -> Marian:
        torch.manual_seed(4)
        return Marian(SHAPE)

    recipe = replace(
        RECIPE,
        prepare=lambda folder: (folder / "tokenizer.json").write_bytes(
            (translation_work / "tokenizer.json").read_bytes()
        ),
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
