from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from hearth_build.data import corpus
from hearth_build.data.character_ngrams import CharacterNgrams
from hearth_build.data.datasets import DataError
from hearth_build.recipe import Example
from hearth_build.training.decoders import TEMPLATE, ChatFormat, train_tokenizer
from hearth_build.training.plan import Plan
from hearth_build.training.run import run
from tests.export import toy
from tests.export.training.checkpoints import save_decoder
from tests.export.training.running import train_on

SETTINGS: dict[str, Any] = {"epochs": 12}


def prose(lines: int = 300) -> str:
    """Words in the order of the alphabet, each line from another one on."""
    generator = random.Random(1)
    starts = [generator.randrange(len(toy.FILLER) - 5) for _ in range(lines)]
    return "\n".join(" ".join(toy.FILLER[start : start + 6]) for start in starts) + "\n"


def conversations(count: int = 150) -> list[dict[str, Any]]:
    generator = random.Random(1)
    items = []
    for _ in range(count):
        messages = []
        for _ in range(2):
            place = generator.randrange(len(toy.FILLER) - 1)
            messages.append({"role": "user", "content": f"After {toy.FILLER[place]}?"})
            messages.append(
                {"role": "assistant", "content": f"{toy.FILLER[place + 1]} comes next, and then others do."}
            )
        items.append({"messages": messages})
    return items


def test_a_text_from_scratch(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text(prose())
    manifest, answer = train_on("text-generation", tmp_path / "words.txt", tmp_path / "work", settings=SETTINGS)
    served = manifest.metrics.served
    assert served["nats a character (test)"] < 1.5
    assert served["nats a character (test), low"] < served["nats a character (test), high"]
    assert "word" in answer("worda wordb wordc")
    assert "n-grams of characters" in (tmp_path / "work/artifact/report.md").read_text()


def test_conversations_from_scratch(tmp_path: Path) -> None:
    (tmp_path / "chat.jsonl").write_text("\n".join(map(json.dumps, conversations())))
    manifest, answer = train_on("text-generation", tmp_path / "chat.jsonl", tmp_path / "work", settings={"epochs": 14})
    assert manifest.head.chat_template == "chat_template.jinja"  # type: ignore[union-attr]
    assert answer("<|user|>After wordc?<|end|><|assistant|>").endswith("comes next, and then others do.")


def test_a_decoder_is_fine_tuned(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text(prose())
    base = save_decoder(tmp_path / "base", prose())
    settings = {"epochs": 2, "learning_rate": 5e-3}
    manifest, _ = train_on(
        "text-generation", tmp_path / "words.txt", tmp_path / "work", base=str(base), settings=settings
    )
    assert "fine-tuned" in manifest.description
    assert manifest.metrics.fp32["largest golden difference"] < 0.01
    assert manifest.metrics.served["nats a character (test)"] < 2


def test_only_what_the_assistant_says_is_learnt() -> None:
    example = Example(conversations(1)[0], None)
    tokenizer = train_tokenizer([corpus.whole_text(example)], 300)
    parts = list(ChatFormat.ours(tokenizer).tokens(tokenizer, example, True))
    assert [counts for _, counts in parts] == [False, True, False, True]
    texts = [tokenizer.decode(ids, skip_special_tokens=False) for ids, _ in parts]
    first, second = (message["content"] for message in example.inputs["messages"][1::2])
    assert texts[1] == f"{first}<|end|>"
    assert texts[3] == f"{second}<|end|>"
    assert texts[0].startswith("<|user|>After")
    assert texts[2].startswith("<|user|>After")
    assert "assistant" in TEMPLATE


def test_frequent_characters_cost_fewer_nats() -> None:
    model = CharacterNgrams(["abababab"], order=3)
    assert model.nats("abab") < model.nats("aabb") < model.nats("xyzq")
    assert sum(model.probability("ab" + character, 2) for character in "ab") < 1


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"messages": [{"role": "boss", "content": "a"}]}, "needs a role .*'boss'"),
        ({"messages": [{"role": "user", "content": [1]}]}, "row 1: a message needs"),
        ({"title": "a"}, "has no column of texts or messages"),
        ({"messages": "hello"}, "the messages are no JSON"),
    ],
)
def test_wrong_conversations_are_named(line: dict[str, Any], message: str, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps(line))
    with pytest.raises(DataError, match=message):
        corpus.read(tmp_path / "a.jsonl")


def test_prompts_and_completions_of_a_table_are_conversations(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("prompt,completion\nHi,Hello\n")
    (example,) = corpus.read(tmp_path / "a.csv")
    assert example.inputs["messages"] == [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]


def test_a_short_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a few words\n")
    with pytest.raises(DataError, match="12 characters to learn from"):
        run(Plan(task="text-generation", name="tiny", data=str(tmp_path / "a.txt")), tmp_path / "work", "")
