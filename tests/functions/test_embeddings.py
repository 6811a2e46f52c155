"""embeddings against sentence-transformers on the same checkpoint, and against gensim on the same word vectors."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from huggingface_hub import InferenceClient
from tokenizers import Regex, Tokenizer
from tokenizers.models import WordLevel
from tokenizers.normalizers import Lowercase
from tokenizers.pre_tokenizers import Split

os.environ["HF_HUB_OFFLINE"] = "1"
torch = pytest.importorskip("torch", reason="the export extra (torch) is not installed")

from gensim.models import KeyedVectors  # noqa: E402
from sentence_transformers import SentenceTransformer  # noqa: E402
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer  # noqa: E402

from hearth.errors import BadRequest, PayloadTooLarge  # noqa: E402
from hearth.models import manifest  # noqa: E402
from hearth.models.model import Model  # noqa: E402
from hearth_build.checkpoints import load  # noqa: E402
from hearth_build.checkpoints.sentences import graph  # noqa: E402
from hearth_build.networks.word_vectors import WordVectors  # noqa: E402
from hearth_build.onnx_export.export import describe, optimise  # noqa: E402
from hearth_build.recipe import RecipeError  # noqa: E402
from hearth_build.recipes.glove_50d.recipe import UNKNOWN, WORDS  # noqa: E402
from hearth_functions.embeddings import app  # noqa: E402
from tests.functions import checkpoints  # noqa: E402
from tests.support.artifacts import describe_artifact  # noqa: E402

TEXTS = [
    "Anna Berg works in Oslo.",
    "",
    "The film was good, and her uncle bought the mill by the river!",
    "我非常喜欢这个电影 — déjà ☃ vu",
    "hotel " * 60,
]
LONGEST = 24
KINDS = ["mean", "mean-unit", "cls", "cls-unit"]


def made(folder: Path, method: str, *, unit: bool, extra: tuple[Any, ...] = ()) -> SentenceTransformer:
    """A sentence-transformers folder, saved by sentence-transformers itself."""
    bert = folder.with_name(f"{folder.name}-bert")
    checkpoints.save(bert, "BertModel")
    checkpoints.tokenizer_of(bert).save_pretrained(bert)
    transformer = Transformer(str(bert), max_seq_length=LONGEST)
    modules = [transformer, Pooling(32, pooling_mode=method), *[Normalize()] * unit, *extra]
    whole = SentenceTransformer(modules=modules, device="cpu")
    whole.save(str(folder))
    return whole


@pytest.fixture(scope="module", params=KINDS)
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[SentenceTransformer, Model]:
    folder = tmp_path_factory.mktemp("sentences")
    method, _, unit = request.param.partition("-")
    whole = made(folder / "model", method, unit=bool(unit))
    return whole, checkpoints.served(folder / "model", folder / "work")


def ask(model: Model, texts: str | list[str], **parameters: Any) -> np.ndarray:
    return np.array(app.predict(model, app.Request(inputs=texts, **parameters)).output)


def test_vectors_are_those_of_sentence_transformers(both: tuple[SentenceTransformer, Model]) -> None:
    whole, model = both
    np.testing.assert_allclose(ask(model, TEXTS), whole.encode(TEXTS), atol=1e-5)
    for text in TEXTS:
        np.testing.assert_allclose(ask(model, text)[0], whole.encode(text), atol=1e-5)


def test_normalised_and_shortened_as_asked(both: tuple[SentenceTransformer, Model]) -> None:
    whole, model = both
    unit = whole.encode(TEXTS, normalize_embeddings=True)
    np.testing.assert_allclose(ask(model, TEXTS, normalize=True), unit, atol=1e-5)
    short = whole.encode(TEXTS, normalize_embeddings=True, truncate_dim=8)
    np.testing.assert_allclose(ask(model, TEXTS, normalize=True, dimensions=8), short, atol=1e-5)
    inside = app.Request(inputs=TEXTS, parameters=app.Parameters(normalize=True, dimensions=8))
    np.testing.assert_allclose(np.array(app.predict(model, inside).output), short, atol=1e-5)


def test_likeness_is_that_of_sentence_transformers(both: tuple[SentenceTransformer, Model]) -> None:
    whole, model = both
    found = app.predict_similarity(model, app.SimilarityRequest(app.Sentences(TEXTS[0], TEXTS[1:]))).output
    wanted = whole.similarity(whole.encode(TEXTS[:1]), whole.encode(TEXTS[1:]))[0]
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_a_long_text_is_cut_on_either_side_or_refused(both: tuple[SentenceTransformer, Model]) -> None:
    _, model = both
    words = [*["good"] * 40, *["bad"] * 40]
    kept = LONGEST - 2
    long, start, end = (" ".join(some) for some in (words, words[:kept], words[-kept:]))
    np.testing.assert_allclose(ask(model, long), ask(model, start), atol=1e-6)
    np.testing.assert_allclose(ask(model, long, truncation_direction="left"), ask(model, end), atol=1e-6)
    assert ask(model, start, truncate=False).shape == (1, 32)
    with pytest.raises(PayloadTooLarge, match="more than 24 tokens"):
        ask(model, long, truncate=False)


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[checkpoints.Asked]:
    folder = tmp_path_factory.mktemp("http")
    made(folder / "model", "mean", unit=True)
    model = checkpoints.served(folder / "model", folder / "work")
    with checkpoints.asking(model, folder / "work", app.TASKS) as asking:
        yield asking


def test_the_documentation_says_what_is_taken_and_given(asked: checkpoints.Asked) -> None:
    schemas = asked.client.get("/openapi.json").json()["components"]["schemas"]
    assert {"FeatureExtractionRequest", "FeatureExtractionWords", "FeatureExtractionNeighbour"} <= set(schemas)


def test_hugging_faces_client_is_answered(asked: checkpoints.Asked) -> None:
    """The client's own words, sent through the app, and its own reading of the answer."""
    from huggingface_hub.inference._providers import get_provider_helper

    client = InferenceClient("http://127.0.0.1/models/model", token="none")

    def through(task: str, inputs: Any, parameters: dict[str, Any]) -> Any:
        helper = get_provider_helper("hf-inference", task, model=client.model)
        sent = helper.prepare_request(
            inputs=inputs, parameters=parameters, headers={}, model=client.model, api_key="none"
        )
        answer = asked(sent.json, task)
        assert answer.status_code == 200, answer.text
        return answer.json()

    vectors = np.array(through("feature-extraction", "good film", {"normalize": True, "dimensions": 4}), "float32")
    assert vectors.shape == (1, 4)
    likeness = through("sentence-similarity", {"source_sentence": "good film", "sentences": ["good film", "Oslo"]}, {})
    assert likeness[0] == pytest.approx(1)
    assert likeness[1] < 1


@pytest.mark.parametrize(
    ("task", "body", "status", "words"),
    [
        ("feature-extraction", {"inputs": []}, 400, "empty list"),
        ("feature-extraction", {"inputs": ["a"] * 65}, 413, "65 texts"),
        ("feature-extraction", {"inputs": "a" * 20_001}, 413, "20001 characters"),
        ("feature-extraction", {"inputs": [1]}, 400, "inputs"),
        (
            "feature-extraction",
            {"inputs": "a", "dimensions": 33},
            400,
            "`dimensions` is 33",
        ),
        ("feature-extraction", {"inputs": "a", "dimensions": 0}, 400, "dimensions"),
        ("feature-extraction", {"inputs": "a", "prompt_name": "query"}, 400, "prompt_name"),
        ("feature-extraction", {"inputs": "a", "parameters": {"normalise": True}}, 400, "normalise"),
        ("feature-extraction", {"inputs": "a " * 50, "truncate": False}, 413, "more than 24 tokens"),
        ("feature-extraction", {"inputs": {"positive": ["good"]}}, 400, "has no neighbours"),
        ("sentence-similarity", {"inputs": "a"}, 400, "inputs"),
        ("sentence-similarity", {"inputs": {"source_sentence": "a", "sentences": []}}, 400, "at least one sentence"),
        ("sentence-similarity", {"inputs": {"source_sentence": "a", "sentences": ["a"] * 64}}, 413, "65 texts"),
        ("sentence-similarity", {"inputs": {"sentences": ["a"]}}, 400, "source_sentence"),
    ],
)
def test_bad_requests_are_told_what_to_do(
    asked: checkpoints.Asked, task: str, body: dict[str, Any], status: int, words: str
) -> None:
    answer = asked(body, task)
    assert answer.status_code == status
    assert words in answer.json()["error"]


def test_what_cannot_be_imported_is_said(tmp_path: Path) -> None:
    made(tmp_path / "model", "max", unit=False)
    with pytest.raises(RecipeError, match="pooling by"):
        load(tmp_path / "model")
    made(tmp_path / "twice", "mean", unit=True, extra=(Normalize(),))
    with pytest.raises(RecipeError, match="Normalize, Normalize"):
        load(tmp_path / "twice")


VOCABULARY = ["king", "queen", "man", "woman", "paris", "france", "rome", "italy", "'s", ",", "i"]
VOCABULARY += [f"w{number}" for number in range(89)]


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> tuple[KeyedVectors, Model]:
    """100 random vectors, in gensim and as an artifact."""
    work = tmp_path_factory.mktemp("words")
    vectors = np.random.default_rng(0).normal(size=(len(VOCABULARY), 16)).astype(np.float32)
    reference = KeyedVectors(16)
    reference.add_vectors(VOCABULARY, vectors)
    graph()(WordVectors(torch.cat([torch.zeros(1, 16), torch.from_numpy(vectors)])), work / "raw.onnx")
    optimise(work / "raw.onnx", work / "fp32")
    tokenizer = Tokenizer(WordLevel({word: n for n, word in enumerate([UNKNOWN, *VOCABULARY])}, unk_token=UNKNOWN))
    tokenizer.normalizer = Lowercase()
    tokenizer.pre_tokenizer = Split(Regex(WORDS), behavior="removed", invert=True)
    tokenizer.save(str(work / "fp32" / "tokenizer.json"))
    described = describe_artifact(
        work / "fp32",
        model="words",
        version="1",
        task="feature-extraction",
        graph=describe(work / "fp32"),
        preprocessing=manifest.TextPreprocessing(tokenizer="tokenizer.json", max_tokens=50),
        head=manifest.Pooling(method="mean", normalise=False, dimensions=16, words=True),
        limits=manifest.Limits(batch=8, characters=1000),
    )
    return reference, Model(described, work / "fp32", threads=1)


@pytest.mark.parametrize(
    ("positive", "negative"),
    [
        (["king"], []),
        (["king", "woman"], ["man"]),
        (["paris", "italy"], ["france"]),
        (["w3", "w4", "w5"], ["w6", "w7"]),
        ([], ["w8"]),
        (["king", "king"], []),
    ],
)
@pytest.mark.parametrize("count", [1, 10, 1000])
def test_neighbours_and_analogies_are_gensims(
    words: tuple[KeyedVectors, Model], positive: list[str], negative: list[str], count: int
) -> None:
    reference, model = words
    found = app.neighbours(model, app.Words(positive, negative), count)
    wanted = reference.most_similar(positive=positive, negative=negative, topn=count)
    assert [one.word for one in found] == [word for word, _ in wanted]
    np.testing.assert_allclose([one.score for one in found], [score for _, score in wanted], atol=1e-5)


def test_texts_are_the_mean_of_their_known_words(words: tuple[KeyedVectors, Model]) -> None:
    reference, model = words
    found = ask(model, ["The King's woman, I said", "rome", "nothing known", ""])
    known = [["king", "'s", "woman", ",", "i"], ["rome"]]
    for row, names in zip(found, known, strict=False):
        np.testing.assert_allclose(row, np.mean([reference[name] for name in names], axis=0), atol=1e-5)
    np.testing.assert_array_equal(found[2:], 0)
    unit = ask(model, ["king queen", "unheard"], normalize=True)
    wanted = np.mean([reference["king"], reference["queen"]], axis=0)
    np.testing.assert_allclose(unit[0], wanted / np.linalg.norm(wanted), atol=1e-5)
    np.testing.assert_array_equal(unit[1], 0)


def test_likeness_of_words_is_gensims(words: tuple[KeyedVectors, Model]) -> None:
    reference, model = words
    found = app.predict_similarity(
        model, app.SimilarityRequest(app.Sentences("KING", ["queen", "w1", "unheard"]))
    ).output
    wanted = [reference.similarity("king", "queen"), reference.similarity("king", "w1"), 0]
    np.testing.assert_allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (app.Words(["king", "unheard"]), r"no vector for `inputs.positive\[1\]`"),
        (app.Words([UNKNOWN]), "no vector for"),
        (app.Words([""]), r"no vector for `inputs.positive\[0\]`"),
        (app.Words([], []), "at least one word"),
    ],
)
def test_unknown_words_have_no_neighbours(words: tuple[KeyedVectors, Model], inputs: app.Words, message: str) -> None:
    with pytest.raises(BadRequest, match=message):
        app.predict(words[1], app.Request(inputs=inputs)).output


def test_words_are_found_in_any_case(words: tuple[KeyedVectors, Model]) -> None:
    found = app.predict(words[1], app.Request(inputs=app.Words(["King"]))).output
    assert found == app.predict(words[1], app.Request(inputs=app.Words(["king"]))).output
