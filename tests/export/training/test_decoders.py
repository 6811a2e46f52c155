from __future__ import annotations

from pathlib import Path

import pytest
import torch

from hearth_build.recipe import Example, RecipeError
from hearth_build.training.decoders import END, TEMPLATE, ChatFormat, open_decoder, train_tokenizer
from tests.export.training.checkpoints import save_decoder, save_encoder

TOKENIZER = train_tokenizer(["the dog sleeps"], 300)
CHAT = ChatFormat.ours(TOKENIZER)
MESSAGES = [("user", "hi"), ("assistant", "yes"), ("user", "so"), ("assistant", "no")]
CONVERSATION = Example({"messages": [{"role": role, "content": text} for role, text in MESSAGES]}, None)


def decoded(example: Example, ends: bool = True) -> list[tuple[str, bool]]:
    parts = CHAT.tokens(TOKENIZER, example, ends)
    return [(TOKENIZER.decode(ids, skip_special_tokens=False), learnt) for ids, learnt in parts]


def test_the_end_of_a_text_is_learnt_where_it_is_known() -> None:
    assert decoded(Example("the dog", None)) == [(f"the dog{END}", True)]
    assert decoded(Example("the dog", None), ends=False) == [("the dog", True)]


def test_what_the_assistant_says_is_learnt_and_each_part_comes_once() -> None:
    assert decoded(CONVERSATION) == [
        ("<|user|>hi<|end|><|assistant|>", False),
        ("yes<|end|>", True),
        ("<|user|>so<|end|><|assistant|>", False),
        ("no<|end|>", True),
    ]


def test_a_decoder_is_opened_with_its_own_form_of_conversations(tmp_path: Path) -> None:
    base = open_decoder(str(save_decoder(tmp_path, "the dog sleeps", TEMPLATE)))
    assert (base.chat.template, base.chat.end) == (TEMPLATE, base.tokenizer.token_to_id(END))
    assert base.chat.eos == END
    assert base.load()(input_ids=torch.tensor([[1, 2]])).shape[:2] == (1, 2)


def test_an_encoder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="is a bert; text-generation starts from a decoder with safetensors"):
        open_decoder(str(save_encoder(tmp_path)))
