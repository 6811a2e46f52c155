"""Tiny encoders of several families and a tiny decoder, as transformers saves them, with random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from hearth_build.training.decoders import END, train_tokenizer
from tests.export import toy

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 140,
    "pad_token_id": 0,
}
CONFIGS = {
    "bert": lambda size: transformers.BertConfig(vocab_size=size, **SIZES),
    "roberta": lambda size: transformers.RobertaConfig(vocab_size=size, type_vocab_size=1, **SIZES),
    "mpnet": lambda size: transformers.MPNetConfig(vocab_size=size, **SIZES),
    "electra": lambda size: transformers.ElectraConfig(vocab_size=size, embedding_size=16, **SIZES),
    "deberta-v2": lambda size: transformers.DebertaV2Config(
        vocab_size=size, relative_attention=True, pos_att_type=["p2c", "c2p"], type_vocab_size=0, **SIZES
    ),
    "distilbert": lambda size: transformers.DistilBertConfig(
        vocab_size=size, dim=32, n_layers=1, n_heads=2, hidden_dim=64, max_position_embeddings=140
    ),
}
WORDS = (*toy.GOOD, *toy.BAD, *toy.FILLER, "anna", "otto", "mia", "who", "where", "is", "in", "lives", "rome", "oslo")


def save_encoder(folder: Path, family: str = "bert", words: tuple[str, ...] = WORDS, layers: int = 1) -> Path:
    """Save an encoder that has a token for each of the words and for each character."""
    tokenizer = word_tokenizer(words)
    torch.manual_seed(0)
    config = CONFIGS[family](tokenizer.get_vocab_size())
    config.num_hidden_layers = layers
    model = transformers.AutoModel.from_config(config)
    model.save_pretrained(folder)
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )
    fast.save_pretrained(folder)
    return folder


def word_tokenizer(words: tuple[str, ...]) -> Tokenizer:
    characters = [chr(code) for code in range(33, 127)]
    vocabulary = dict.fromkeys([*SPECIAL, *words, *characters, *(f"##{character}" for character in characters)])
    tokenizer = Tokenizer(
        models.WordPiece({token: number for number, token in enumerate(vocabulary)}, unk_token="[UNK]")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return tokenizer


def save_decoder(folder: Path, text: str, template: str = "") -> Path:
    """Save a Llama with a byte-level tokenizer of a text."""
    tokenizer = train_tokenizer([text], 300)
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        bos_token_id=None,
        eos_token_id=tokenizer.token_to_id(END),
        **{**SIZES, "pad_token_id": None, "max_position_embeddings": 128},
    )
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    if template:
        (folder / "chat_template.jinja").write_text(template)
    return folder
