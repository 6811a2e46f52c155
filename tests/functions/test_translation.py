"""translation against transformers' `generate` on the same checkpoint: the same tokens, greedy and with beams."""

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

from hearth.models.heads import Seq2Seq  # noqa: E402
from hearth.models.model import Model  # noqa: E402
from hearth.tasks import seq2seq  # noqa: E402
from hearth.tasks.explanation.written_text import score_tokens  # noqa: E402
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
MAX_LENGTH = 24


def save(folder: Path) -> Any:
    """Save a random Marian checkpoint whose sentences end at various lengths; return the torch model."""
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
        max_position_embeddings=MAX_LENGTH,
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
        bad_words_ids=[[PAD_ID]], forced_eos_token_id=1, num_beams=3, max_length=MAX_LENGTH, length_penalty=1.0
    )
    network.save_pretrained(folder)
    return network


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Use one thread: the networks are so small that more threads only wait for each other."""
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
    return checkpoints.build_model(folder / "hf", folder / "work"), network


@pytest.fixture(scope="module")
def ask(both: tuple[Model, Any], folder: Path) -> Iterator[Any]:
    with checkpoints.serve(both[0], folder / "work", app.TASKS) as ask:
        yield ask


def generate(network: Any, model: Model, texts: list[str], **options: Any) -> list[list[int]]:
    feeds = app.encode(model, app.Request(texts))
    with torch.no_grad():
        rows = network.generate(**{name: torch.from_numpy(value) for name, value in feeds.items()}, **options)
    return [[token for token in row.tolist() if token not in (PAD_ID, 1)] for row in rows]


def tokens_of(model: Model, request: app.Request) -> list[list[int]]:
    return seq2seq.generate(model, request.parameters, app.encode(model, request))


@pytest.mark.parametrize(
    ("beams", "penalty", "max_new_tokens"),
    [
        (1, 1.0, MAX_LENGTH - 1),
        (2, 0.6, MAX_LENGTH - 1),
        (2, 2.0, MAX_LENGTH - 1),
        (5, 0.6, MAX_LENGTH - 1),
        (5, 1.0, MAX_LENGTH - 1),
        (5, 2.0, MAX_LENGTH - 1),
        (5, 0.6, 5),
        (1, 1.0, 1),
        (2, 1.0, 1),
    ],
)
def test_tokens_equal_those_of_transformers(
    both: tuple[Model, Any], beams: int, penalty: float, max_new_tokens: int
) -> None:
    model, network = both
    texts = [text for text in TEXTS if text]
    parameters = app.Parameters(num_beams=beams, length_penalty=penalty, max_new_tokens=max_new_tokens)
    options = {"length_penalty": penalty} if beams > 1 else {}
    expected = generate(network, model, texts, num_beams=beams, max_length=max_new_tokens + 1, **options)
    request = app.Request(texts, parameters)
    assert tokens_of(model, request) == expected
    assert len({len(row) for row in expected}) > 1 or max_new_tokens <= 5
    for text, row in zip(texts, expected, strict=True):
        alone = app.Request(text, parameters)
        assert tokens_of(model, alone) == [row]


def test_defaults_are_the_checkpoints(both: tuple[Model, Any]) -> None:
    model, network = both
    head = model.manifest.head
    assert isinstance(head, Seq2Seq)
    assert (head.beams, head.max_new, head.source, head.target) == (3, MAX_LENGTH - 1, ("en",), LANGUAGES)
    request = app.Request(TEXTS[0])
    assert tokens_of(model, request) == generate(network, model, [TEXTS[0]])


def test_the_graphs_give_the_networks_logits(both: tuple[Model, Any]) -> None:
    """Compare three beams of two sources, three tokens long, with the network's own forward pass."""
    model, network = both
    feeds = app.encode(model, app.Request([TEXTS[0], TEXTS[1]]))
    cross = model.run(feeds)
    tokens = np.array([[PAD_ID, 5, 9], [PAD_ID, 5, 7], [PAD_ID, 8, 9]] * 2)
    past = [np.zeros((6, 4, 0, 8), np.float32)] * 4
    for position in range(3):
        values = [tokens[:, position : position + 1], feeds["attention_mask"], *cross, *past]
        names = [tensor.name for tensor in model.manifest.graphs["decoder"].inputs]
        logits, *past = model.run(dict(zip(names, values, strict=True)), "decoder")
    repeated = {name: torch.from_numpy(value).repeat_interleave(3, 0) for name, value in feeds.items()}
    with torch.no_grad():
        expected = network(**repeated, decoder_input_ids=torch.from_numpy(tokens)).logits[:, -1]
    np.testing.assert_allclose(logits, expected.numpy(), rtol=1e-3, atol=2e-3)


def test_a_batch_keeps_its_order_and_empty_texts(ask: Any) -> None:
    batched = ask({"inputs": list(TEXTS)}).json()
    alone = [ask({"inputs": text}).json()[0] for text in TEXTS]
    assert batched == alone
    assert batched[2] == {"translation_text": ""}
    assert batched[0]["translation_text"]
    assert ask({"inputs": "  "}).json() == [{"translation_text": ""}]


def test_many_beams_are_decoded_in_groups(both: tuple[Model, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    request = app.Request(list(TEXTS), app.Parameters(num_beams=2))
    expected = app.predict(both[0], request).output
    monkeypatch.setattr(seq2seq, "MAX_ROWS", 4)
    assert app.predict(both[0], request).output == expected


def test_languages_are_chosen_by_parameter_or_prefix(ask: Any) -> None:
    outputs = [
        ask({"inputs": TEXTS[0], "parameters": {"src_lang": "en", "tgt_lang": language}}).json()
        for language in LANGUAGES
    ]
    assert outputs[0] != outputs[1]
    assert outputs[0] == ask({"inputs": TEXTS[0]}).json() == ask({"inputs": f">>de<< {TEXTS[0]}"}).json()
    response = ask({"inputs": TEXTS[0], "parameters": {"src_lang": "en", "tgt_lang": "fr"}})
    assert response.status_code == 400
    assert "`parameters.tgt_lang` can be: de, nl" in response.json()["error"]
    response = ask({"inputs": TEXTS[0], "parameters": {"src_lang": "fi", "tgt_lang": "de"}})
    assert response.status_code == 400
    assert "does not translate from that language" in response.json()["error"]


def test_generation_parameters_may_be_nested(ask: Any) -> None:
    options = {"num_beams": 1, "max_new_tokens": 4}
    flat = ask({"inputs": TEXTS[0], "parameters": options}).json()
    assert flat == ask({"inputs": TEXTS[0], "parameters": {"generate_parameters": options}}).json()
    assert flat != ask({"inputs": TEXTS[0]}).json()


def test_the_hugging_face_client_reads_the_response(ask: Any) -> None:
    response = ask({"inputs": TEXTS[0], "parameters": {"src_lang": "en", "tgt_lang": "de"}})
    assert TranslationOutput.parse_obj_as_list(response.json())[0].translation_text


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"inputs": []}, 400, "at least one text"),
        ({"inputs": ["a"] * 17}, 413, "16 are allowed"),
        ({"inputs": "a" * 4001}, 413, "240 are allowed"),
        ({"inputs": "dogs play " * 20}, 413, "send it in parts"),
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
def test_a_bad_request_error_says_what_to_do(ask: Any, body: Any, status: int, message: str) -> None:
    response = ask(body)
    assert response.status_code == status, response.text
    assert message in response.json()["error"]


def test_unusual_texts_are_translated(ask: Any) -> None:
    for text in ("</s>", "<pad>", ">>de<<", "\x00", "☃" * 5, ">>fr<< dogs", "\ud7ff", "dogs play " * 20):
        parameters = {"truncation": "longest_first"}
        response = ask({"inputs": text, "parameters": parameters})
        assert response.status_code == 200, response.text


def test_the_tokenizer_is_built_from_sentencepiece_files(both: tuple[Model, Any], folder: Path, tmp_path: Path) -> None:
    """Helsinki-NLP publishes source.spm and vocab.json instead of tokenizer.json."""
    for file in (folder / "hf").iterdir():
        if file.name != "tokenizer.json":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    source = spm.ModelProto()
    source.trainer_spec.model_type = 1
    # ▁ab + c costs less than ▁a + bc; the target's own pieces are last resorts.
    scores = {"▁": -3.0, "a": -4.0, "b": -4.0, "c": -4.0, "▁a": -2.0, "▁ab": -2.5, "bc": -5.0, "c.": -9.0, ".": -1.0}
    for piece, score, kind in [
        ("<unk>", 0.0, 2),
        ("</s>", 0.0, 3),
        *((text, score, 1) for text, score in scores.items()),
    ]:
        source.pieces.add(piece=piece, score=score, type=kind)
    (tmp_path / "source.spm").write_bytes(source.SerializeToString())
    vocabulary = ["<pad>", "</s>", "<unk>", ">>de<<", ">>nl<<", *scores, "▁ö", "ö"]
    vocabulary += [f"▁word{number}" for number in range(both[1].config.vocab_size - len(vocabulary))]
    (tmp_path / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(vocabulary)}))
    model = checkpoints.build_model(tmp_path, tmp_path / "work")
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
        checkpoints.load(tmp_path)
    (tmp_path / "vocab.json").unlink()
    with pytest.raises(RecipeError, match=r"vocab\.json"):
        checkpoints.load(tmp_path)


def test_log_probabilities_of_a_given_text_are_the_networks(both: tuple[Model, Any]) -> None:
    """Explanations score the tokens of one output for several inputs."""
    model, network = both
    feeds = app.encode(model, app.Request([TEXTS[0], TEXTS[1]]))
    longest = tokens_of(model, app.Request(TEXTS[0]))[0]
    tokens, config = longest[:6], seq2seq.generation_config(model, app.Parameters())
    assert len(longest) == MAX_LENGTH - 2
    assert not score_tokens(model, feeds, longest, config)[:, -1].any()  # the end is forced there
    scores = score_tokens(model, feeds, tokens, config)
    inputs = {name: torch.from_numpy(value) for name, value in feeds.items()}
    with torch.no_grad():
        logits = network(**inputs, decoder_input_ids=torch.tensor([[PAD_ID, *tokens]] * 2)).logits
    expected = logits.log_softmax(-1).gather(2, torch.tensor([[*tokens, 1]] * 2)[:, :, None])[:, :, 0]
    np.testing.assert_allclose(scores, expected.numpy(), rtol=1e-3, atol=2e-3)
