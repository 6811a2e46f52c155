"""Published architectures with random weights, built once: a Hugging Face folder for the peers, its artifact for us.

Their speed and size are real, their outputs are not. Everything is written below `<work>/<name>/`: `checkpoint/` as
transformers saves it, and the work folder of `hearth_build.pipeline.build`, whose `artifact/` is served.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from hearth.models.manifest import dump

if TYPE_CHECKING:
    from hearth_build.importing.base import Precision

CLASSES = ("negative", "positive")
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
ROLES = {
    "[PAD]": "pad_token",
    "<pad>": "pad_token",
    "[UNK]": "unk_token",
    "[CLS]": "bos_token",
    "[SEP]": "eos_token",
    "</s>": "eos_token",
}
"""The names that transformers and CTranslate2's converters use for special tokens."""
END = 0
"""The token that ends a translation; its bias prevents it before the maximum length."""


def build_once(folder: Path, make: Callable[[Path], None]) -> Path:
    """`folder`, filled by `make` unless it exists. It appears only when complete."""
    if not folder.exists():
        partial = folder.with_name(f"{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        make(partial)
        partial.rename(folder)
    return folder


def bert(work: Path) -> Path:
    """BERT-base with a classifier of two classes, 110 million weights."""

    def save(folder: Path) -> None:
        from transformers import BertConfig, BertForSequenceClassification

        tokenizer = word_tokenizer(30_522)
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
        )
        save_folder(folder, BertForSequenceClassification, BertConfig(num_labels=2), tokenizer)

    return artifact(work / "bert-base", build_once(work / "bert-base/checkpoint", save))


def gpt2(work: Path, precision: Precision = "int8") -> Path:
    """GPT-2, 124 million weights. No token ends a text. Each precision has a work folder of its own; the checkpoint is
    the same."""

    def save(folder: Path) -> None:
        from transformers import GPT2Config, GPT2LMHeadModel

        config = GPT2Config(bos_token_id=None, eos_token_id=None)
        save_folder(folder, GPT2LMHeadModel, config, word_tokenizer(50_257))

    checkpoint = build_once(work / "gpt2/checkpoint", save)
    return artifact(work / ("gpt2" if precision == "int8" else f"gpt2-{precision}"), checkpoint, precision)


def marian(work: Path) -> Path:
    """The shape of opus-mt-en-de, 74 million weights."""

    def save(folder: Path) -> None:
        from transformers import MarianConfig, MarianMTModel

        config = MarianConfig(
            vocab_size=58_101,
            d_model=512,
            encoder_layers=6,
            decoder_layers=6,
            encoder_attention_heads=8,
            decoder_attention_heads=8,
            encoder_ffn_dim=2048,
            decoder_ffn_dim=2048,
            max_position_embeddings=512,
            activation_function="swish",
            scale_embedding=True,
            static_position_embeddings=True,
            pad_token_id=58_100,
            decoder_start_token_id=58_100,
            eos_token_id=END,
            forced_eos_token_id=END,
            num_beams=5,
        )

        def without_end(network: Any) -> None:
            network.final_logits_bias[0, [END, 58_100]] = -1000.0

        tokenizer = word_tokenizer(58_101, ("</s>", "[UNK]"), ("<pad>",))
        tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", END)])
        save_folder(folder, MarianMTModel, config, tokenizer, without_end)

    return artifact(work / "marian", build_once(work / "marian/checkpoint", save))


def save_folder(
    folder: Path, kind: Any, config: Any, tokenizer: Tokenizer, change: Callable[[Any], None] = lambda network: None
) -> None:
    import torch

    torch.manual_seed(0)
    network = kind(config).eval()
    with torch.no_grad():
        change(network)
    network.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    numbers = tokenizer.get_vocab()
    roles = {role: token for token, role in ROLES.items() if token in numbers}
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"} | roles))


def artifact(work: Path, checkpoint: Path, precision: Precision = "int8") -> Path:
    """The work folder with `artifact/`, built from the checkpoint like `hearth import`. Except for decoders, the step
    `verify` is skipped because the outputs of random weights cannot be verified."""
    folder = work / "artifact"
    if not (folder / "manifest.json").exists():
        from hearth_build.importing import read
        from hearth_build.importing.base import ImportOptions
        from hearth_build.pipeline import build
        from hearth_build.pipeline.manifest import manifest_of

        logging.getLogger().setLevel(logging.ERROR)
        imported = read(str(checkpoint), ImportOptions(name=work.name))
        if imported.build is not None:
            imported.build(work, "hearth bench", precision)
            return work
        recipe = replace(imported.recipe, quantization=imported.quantizers[precision])
        for step in (build.Step.PREPARE, build.Step.EXPORT, build.Step.QUANTIZE):
            build.build(recipe, work, "hearth bench", step)
        shutil.copyfile(work / "tokenizer.json", folder / "tokenizer.json")
        (folder / "manifest.json").write_bytes(dump(manifest_of(recipe, folder, "", "hearth bench", 0.0)))
    return work


def word_tokenizer(vocabulary: int, first: tuple[str, ...] = SPECIAL, last: tuple[str, ...] = ()) -> Tokenizer:
    """A tokenizer of `vocabulary` tokens: `first`, random words of seven letters, `last`."""
    letters = np.random.default_rng(0).integers(ord("a"), ord("z") + 1, (2 * vocabulary, 7), dtype=np.uint32)
    random_words = dict.fromkeys(row.tobytes().decode("utf-32-le") for row in letters)
    tokens = [*[*first, *random_words][: vocabulary - len(last)], *last]
    numbers = {token: index for index, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.WordPiece(numbers, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer


def text(folder: Path, tokens: int, seed: int = 1) -> str:
    """`tokens` words of the vocabulary in `folder`, not counting special tokens."""
    vocabulary = Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab()
    known = sorted(filter(str.isalpha, vocabulary))
    return " ".join(np.random.default_rng(seed).choice(known, tokens))
