"""translation against transformers' generate on the same checkpoint: the same tokens, greedy and with beams."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

os.environ["HF_HUB_OFFLINE"] = "1"
transformers = pytest.importorskip("transformers", reason="the export extra (transformers) is not installed")

from huggingface_hub import TranslationOutput  # noqa: E402
from transformers.utils import sentencepiece_model_pb2_new as spm  # noqa: E402

from hearth.models.manifest import Seq2Seq  # noqa: E402
from hearth.models.model import Model  # noqa: E402
from hearth_build.checkpoints import load  # noqa: E402
from hearth_build.data.translation import PAD_ID, joint_bpe  # noqa: E402
from hearth_build.recipe import RecipeError  # noqa: E402
from hearth_functions.translation import app  # noqa: E402
from tests.functions import checkpoints  # noqa: E402

TEXTS = (
    "a man in a blue shirt is standing on a ladder .",
    "two dogs play .",
    "",
    "a group of people are sitting in a large room with many windows and talking to a child .",
)
LANGUAGES = ("de", "nl")
LONGEST = 24


def save(folder: Path) -> Any:
    """A random Marian checkpoint whose sentences end now and then; the torch model."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = joint_bpe(TEXTS * 3, 120, lowercase=True, special=[f">>{language}<<" for language in LANGUAGES])
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"source_lang": "en", "target_lang": "gmw"}))
    torch.manual_seed(3)
    config = transformers.MarianConfig(
        vocab_size=tokenizer.get_vocab_size(),
        d_model=32,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=48,
        decoder_ffn_dim=48,
        max_position_embeddings=LONGEST,
        activation_function="swish",
        scale_embedding=True,
        init_std=0.6,
        pad_token_id=PAD_ID,
        eos_token_id=1,
        forced_eos_token_id=1,
        decoder_start_token_id=PAD_ID,
    )
    network = transformers.MarianMTModel(config).eval()
    network.final_logits_bias[0, 1] = 5.0
    network.generation_config.update(
        bad_words_ids=[[PAD_ID]], forced_eos_token_id=1, num_beams=3, max_length=LONGEST, length_penalty=1.0
    )
    network.save_pretrained(folder)
    return network


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """More would only wait for each other, so small are the networks."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("translation")


@pytest.fixture(scope="module")
def both(folder: Path) -> tuple[Model, Any]:
    network = save(folder / "hf")
    return checkpoints.served(folder / "hf", folder / "work"), network


@pytest.fixture(scope="module")
def ask(both: tuple[Model, Any], folder: Path) -> Iterator[Any]:
    with checkpoints.asking(both[0], folder / "work", app.TASKS) as ask:
        yield ask


def generated(network: Any, model: Model, texts: list[str], **how: Any) -> list[list[int]]:
    feeds = app.encode(model, app.Request(texts))
    with torch.no_grad():
        rows = network.generate(**{name: torch.from_numpy(value) for name, value in feeds.items()}, **how)
    return [[token for token in row.tolist() if token not in (PAD_ID, 1)] for row in rows]


@pytest.mark.parametrize(
    ("beams", "penalty", "longest"),
    [
        (1, 1.0, LONGEST - 1),
        (2, 0.6, LONGEST - 1),
        (2, 2.0, LONGEST - 1),
        (5, 0.6, LONGEST - 1),
        (5, 1.0, LONGEST - 1),
        (5, 2.0, LONGEST - 1),
        (5, 0.6, 5),
        (1, 1.0, 1),
        (2, 1.0, 1),
    ],
)
def test_the_same_tokens_as_transformers(both: tuple[Model, Any], beams: int, penalty: float, longest: int) -> None:
    model, network = both
    texts = [text for text in TEXTS if text]
    parameters = app.Parameters(num_beams=beams, length_penalty=penalty, max_new_tokens=longest)
    how = {"length_penalty": penalty} if beams > 1 else {}
    expected = generated(network, model, texts, num_beams=beams, max_length=longest + 1, **how)
    request = app.Request(texts, parameters)
    assert app.write(model, request, app.encode(model, request)) == expected
    assert len({len(row) for row in expected}) > 1 or longest <= 5
    for text, row in zip(texts, expected, strict=True):
        alone = app.Request(text, parameters)
        assert app.write(model, alone, app.encode(model, alone)) == [row]


def test_defaults_are_the_checkpoints(both: tuple[Model, Any]) -> None:
    model, network = both
    head = model.manifest.head
    assert isinstance(head, Seq2Seq)
    assert (head.beams, head.max_new, head.source, head.target) == (3, LONGEST - 1, ("en",), LANGUAGES)
    request = app.Request(TEXTS[0])
    assert app.write(model, request, app.encode(model, request)) == generated(network, model, [TEXTS[0]])


def test_graphs_are_the_networks(both: tuple[Model, Any]) -> None:
    """Three beams of two sources of different lengths, three tokens long, against the network's own forward pass."""
    model, network = both
    feeds = app.encode(model, app.Request([TEXTS[0], TEXTS[1]]))
    cross = model.run(feeds)
    written = np.array([[PAD_ID, 5, 9], [PAD_ID, 5, 7], [PAD_ID, 8, 9]] * 2)
    past = [np.zeros((6, 4, 0, 8), np.float32)] * 4
    for place in range(3):
        values = [written[:, place : place + 1], feeds["attention_mask"], *cross, *past]
        names = [tensor.name for tensor in model.manifest.graphs["decoder"].inputs]
        logits, *past = model.run(dict(zip(names, values, strict=True)), "decoder")
    repeated = {name: torch.from_numpy(value).repeat_interleave(3, 0) for name, value in feeds.items()}
    with torch.no_grad():
        expected = network(**repeated, decoder_input_ids=torch.from_numpy(written)).logits[:, -1]
    np.testing.assert_allclose(logits, expected.numpy(), rtol=1e-3, atol=2e-3)


def test_a_batch_keeps_its_order_and_empty_texts(ask: Any) -> None:
    together = ask({"inputs": list(TEXTS)}).json()
    alone = [ask({"inputs": text}).json()[0] for text in TEXTS]
    assert together == alone
    assert together[2] == {"translation_text": ""}
    assert together[0]["translation_text"]
    assert ask({"inputs": "  "}).json() == [{"translation_text": ""}]


def test_many_beams_are_written_in_groups(both: tuple[Model, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    request = app.Request(list(TEXTS), app.Parameters(num_beams=2))
    together = app.predict(both[0], request).output
    monkeypatch.setattr(app, "MAX_ROWS", 4)
    assert app.predict(both[0], request).output == together


def test_languages(ask: Any) -> None:
    answers = [
        ask({"inputs": TEXTS[0], "parameters": {"src_lang": "en", "tgt_lang": language}}).json()
        for language in LANGUAGES
    ]
    assert answers[0] != answers[1]
    assert answers[0] == ask({"inputs": TEXTS[0]}).json() == ask({"inputs": f">>de<< {TEXTS[0]}"}).json()
    refused = ask({"inputs": TEXTS[0], "parameters": {"src_lang": "en", "tgt_lang": "fr"}})
    assert refused.status_code == 400
    assert "`parameters.tgt_lang` can be: de, nl" in refused.json()["error"]
    refused = ask({"inputs": TEXTS[0], "parameters": {"src_lang": "fi", "tgt_lang": "de"}})
    assert refused.status_code == 400
    assert "does not translate from that language" in refused.json()["error"]


def test_generation_parameters_in_both_places(ask: Any) -> None:
    how = {"num_beams": 1, "max_new_tokens": 4}
    flat = ask({"inputs": TEXTS[0], "parameters": how}).json()
    assert flat == ask({"inputs": TEXTS[0], "parameters": {"generate_parameters": how}}).json()
    assert flat != ask({"inputs": TEXTS[0]}).json()


def test_the_payload_is_hugging_faces(ask: Any) -> None:
    answer = ask({"inputs": TEXTS[0], "parameters": {"src_lang": "en", "tgt_lang": "de"}})
    assert TranslationOutput.parse_obj_as_list(answer.json())[0].translation_text


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"inputs": []}, 400, "at least one text"),
        ({"inputs": ["a"] * 17}, 413, "16 are allowed"),
        ({"inputs": "a" * 4001}, 413, "4000 are allowed"),
        ({"inputs": "dogs play " * 20}, 413, "sentence by sentence"),
        ({"inputs": 3}, 400, "inputs"),
        ({"inputs": ["a", None]}, 400, "inputs"),
        ({"inputs": "a", "parameters": {"num_beams": 0}}, 400, "num_beams"),
        ({"inputs": "a", "parameters": {"num_beams": 17}}, 400, "num_beams"),
        ({"inputs": "a", "parameters": {"length_penalty": 1e9}}, 400, "length_penalty"),
        ({"inputs": "a", "parameters": {"max_new_tokens": 0}}, 400, "max_new_tokens"),
        ({"inputs": "a", "parameters": {"generate_parameters": {"num_beams": -1}}}, 400, "num_beams"),
        ({"inputs": "a", "parameters": {"beams": 3}}, 400, "beams"),
        ({}, 400, "inputs"),
    ],
)
def test_bad_requests(ask: Any, body: Any, status: int, words: str) -> None:
    answer = ask(body)
    assert answer.status_code == status, answer.text
    assert words in answer.json()["error"]


def test_odd_texts_are_answered(ask: Any) -> None:
    for text in ("</s>", "<pad>", ">>de<<", "\x00", "☃" * 5, ">>fr<< dogs", "\ud7ff", "dogs play " * 20):
        parameters = {"truncation": "longest_first"}
        answer = ask({"inputs": text, "parameters": parameters})
        assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"share_encoder_decoder_embeddings": False}, "share_encoder_decoder_embeddings and tie"),
        ({"activation_function": "tanh"}, "activation_function 'tanh'"),
        ({"encoder_ffn_dim": 12}, "encoder_ffn_dim and decoder_ffn_dim must be equal"),
    ],
)
def test_other_shapes_are_refused_by_name(
    both: tuple[Model, Any], folder: Path, tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    for file in (folder / "hf").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(RecipeError, match=words):
        load(tmp_path)


def test_sentencepiece_files_make_the_tokenizer(both: tuple[Model, Any], folder: Path, tmp_path: Path) -> None:
    """A folder as Helsinki-NLP publishes them: source.spm and vocab.json in the place of tokenizer.json."""
    for file in (folder / "hf").iterdir():
        if file.name != "tokenizer.json":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    source = spm.ModelProto()
    source.trainer_spec.model_type = 1
    # ▁ab + c costs less than ▁a + bc; the target's own pieces are last resorts.
    scores = {"▁": -3.0, "a": -4.0, "b": -4.0, "c": -4.0, "▁a": -2.0, "▁ab": -2.5, "bc": -5.0, "c.": -9.0, ".": -1.0}
    for piece, score, kind in [("<unk>", 0.0, 2), ("</s>", 0.0, 3), *((text, one, 1) for text, one in scores.items())]:
        source.pieces.add(piece=piece, score=score, type=kind)
    (tmp_path / "source.spm").write_bytes(source.SerializeToString())
    words = ["<pad>", "</s>", "<unk>", ">>de<<", ">>nl<<", *scores, "▁ö", "ö"]
    words += [f"▁word{number}" for number in range(both[1].config.vocab_size - len(words))]
    (tmp_path / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(words)}))
    model = checkpoints.served(tmp_path, tmp_path / "work")
    assert isinstance(model.manifest.head, Seq2Seq)
    assert model.manifest.head.target == LANGUAGES
    assert model.tokenizer is not None
    assert model.tokenizer.encode(">>nl<<  abc.  a ").tokens == [">>nl<<", "▁ab", "c", ".", "▁a", "</s>"]
    assert model.tokenizer.encode("ö☃").tokens[-3:] == ["▁ö", "☃", "</s>"]
    assert model.tokenizer.encode("ö☃").ids[-2] == 2
    assert model.tokenizer.decode(model.tokenizer.encode("abc. a").ids) == "abc. a"
    assert app.predict(model, app.Request("abc")).output[0].translation_text
    (tmp_path / "source.spm").write_bytes(b"no model")
    with pytest.raises(RecipeError, match="not a SentencePiece model"):
        load(tmp_path)
    (tmp_path / "vocab.json").unlink()
    with pytest.raises(RecipeError, match=r"vocab\.json"):
        load(tmp_path)
