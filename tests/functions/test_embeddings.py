"""embeddings against sentence-transformers on the same checkpoint, and against gensim on the same word vectors."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from huggingface_hub import InferenceClient

os.environ["HF_HUB_OFFLINE"] = "1"
pytest.importorskip("torch", reason="the export extra (torch) is not installed")

from gensim.models import KeyedVectors
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer

from hearth.errors import BadRequest, PayloadTooLarge
from hearth.models.model import Model
from hearth_build.recipe import RecipeError
from hearth_functions.embeddings import app
from tests.functions import checkpoints

TEXTS = [
    "Anna Berg works in Oslo.",
    "",
    "The film was good, and her uncle bought the mill by the river!",
    "我非常喜欢这个电影 — déjà ☃ vu",
    "hotel " * 60,
]
MAX_TOKENS = 24
KINDS = ["mean", "cls-unit", "weightedmean"]


def save_sentence_transformer(
    folder: Path, method: str, *, unit: bool, extra: tuple[Any, ...] = ()
) -> SentenceTransformer:
    """Build a sentence-transformers model and save it into `folder` with that library."""
    bert = folder.with_name(f"{folder.name}-bert")
    checkpoints.save(bert, "BertModel")
    checkpoints.tokenizer_of(bert).save_pretrained(bert)
    transformer = Transformer(str(bert), max_seq_length=MAX_TOKENS)
    modules = [transformer, Pooling(32, pooling_mode=method), *([Normalize()] if unit else []), *extra]
    reference = SentenceTransformer(modules=modules, device="cpu")
    reference.save(str(folder))
    return reference


@pytest.fixture(scope="module", params=KINDS)
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[SentenceTransformer, Model]:
    folder = tmp_path_factory.mktemp("sentences")
    method, _, unit = request.param.partition("-")
    reference = save_sentence_transformer(folder / "model", method, unit=bool(unit))
    return reference, checkpoints.build_model(folder / "model", folder / "work")


def embed(model: Model, texts: str | list[str], **parameters: Any) -> np.ndarray:
    return np.array(app.predict(model, app.Request(inputs=texts, **parameters)).output)


def test_vectors_equal_those_of_sentence_transformers(both: tuple[SentenceTransformer, Model]) -> None:
    reference, model = both
    np.testing.assert_allclose(embed(model, TEXTS), reference.encode(TEXTS), atol=1e-5)
    for text in TEXTS:
        np.testing.assert_allclose(embed(model, text)[0], reference.encode(text), atol=1e-5)


def test_vectors_are_normalised_and_shortened_on_request(both: tuple[SentenceTransformer, Model]) -> None:
    reference, model = both
    unit = reference.encode(TEXTS, normalize_embeddings=True)
    np.testing.assert_allclose(embed(model, TEXTS, normalize=True), unit, atol=1e-5)
    short = reference.encode(TEXTS, normalize_embeddings=True, truncate_dim=8)
    np.testing.assert_allclose(embed(model, TEXTS, normalize=True, dimensions=8), short, atol=1e-5)
    nested = app.Request(inputs=TEXTS, parameters=app.Parameters(normalize=True, dimensions=8))
    np.testing.assert_allclose(np.array(app.predict(model, nested).output), short, atol=1e-5)


def test_similarity_equals_that_of_sentence_transformers(both: tuple[SentenceTransformer, Model]) -> None:
    reference, model = both
    actual = app.predict_similarity(model, app.SimilarityRequest(app.Sentences(TEXTS[0], TEXTS[1:]))).output
    expected = reference.similarity(reference.encode(TEXTS[:1]), reference.encode(TEXTS[1:]))[0]
    np.testing.assert_allclose(actual, expected, atol=1e-5)


def test_a_long_text_is_truncated_on_either_side_or_refused(both: tuple[SentenceTransformer, Model]) -> None:
    _, model = both
    words = [*["good"] * 40, *["bad"] * 40]
    limit = MAX_TOKENS - 2
    long, start, end = (" ".join(part) for part in (words, words[:limit], words[-limit:]))
    np.testing.assert_allclose(embed(model, long), embed(model, start), atol=1e-6)
    np.testing.assert_allclose(embed(model, long, truncation_direction="left"), embed(model, end), atol=1e-6)
    assert embed(model, start, truncate=False).shape == (1, 32)
    with pytest.raises(PayloadTooLarge, match="more than 24 tokens"):
        embed(model, long, truncate=False)


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[checkpoints.ModelClient]:
    folder = tmp_path_factory.mktemp("http")
    save_sentence_transformer(folder / "model", "mean", unit=True)
    model = checkpoints.build_model(folder / "model", folder / "work")
    with checkpoints.serve(model, folder / "work", app.TASKS) as model_client:
        yield model_client


def test_openapi_has_the_schemas_of_request_and_response(ask: checkpoints.ModelClient) -> None:
    schemas = ask.client.get("/openapi.json").json()["components"]["schemas"]
    assert {"FeatureExtractionRequest", "FeatureExtractionWords", "FeatureExtractionNeighbour"} <= set(schemas)


def test_the_hugging_face_client_reads_the_response(ask: checkpoints.ModelClient) -> None:
    """Send the client's request through the app and let the client parse the response."""
    from huggingface_hub.inference._providers import get_provider_helper

    client = InferenceClient("http://127.0.0.1/models/model", token="none")

    def send(task: str, inputs: Any, parameters: dict[str, Any]) -> Any:
        helper = get_provider_helper("hf-inference", task, model=client.model)
        request = helper.prepare_request(
            inputs=inputs, parameters=parameters, headers={}, model=client.model, api_key="none"
        )
        response = ask(request.json, task)
        assert response.status_code == 200, response.text
        return response.json()

    vectors = np.array(send("feature-extraction", "good film", {"normalize": True, "dimensions": 4}), "float32")
    assert vectors.shape == (1, 4)
    similarities = send("sentence-similarity", {"source_sentence": "good film", "sentences": ["good film", "Oslo"]}, {})
    assert similarities[0] == pytest.approx(1)
    assert similarities[1] < 1


@pytest.mark.parametrize(
    ("task", "body", "status", "message"),
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
        ("feature-extraction", {"inputs": "a", "prompt_name": "query"}, 400, "has no prompts"),
        ("feature-extraction", {"inputs": "a", "parameters": {"normalise": True}}, 400, "normalise"),
        ("feature-extraction", {"inputs": "a", "truncate": False, "parameters": {}}, 400, "`truncate` in `parameters`"),
        ("feature-extraction", {"inputs": "a " * 50, "truncate": False}, 413, "more than 24 tokens"),
        ("feature-extraction", {"inputs": {"positive": ["good"]}}, 400, "has no neighbours"),
        ("sentence-similarity", {"inputs": "a"}, 400, "inputs"),
        ("sentence-similarity", {"inputs": {"source_sentence": "a", "sentences": []}}, 400, "at least one sentence"),
        ("sentence-similarity", {"inputs": {"source_sentence": "a", "sentences": ["a"] * 64}}, 413, "65 texts"),
        ("sentence-similarity", {"inputs": {"sentences": ["a"]}}, 400, "source_sentence"),
    ],
)
def test_a_bad_request_error_says_what_to_do(
    ask: checkpoints.ModelClient, task: str, body: dict[str, Any], status: int, message: str
) -> None:
    response = ask(body, task)
    assert response.status_code == status
    assert message in response.json()["error"]


def test_an_unsupported_module_is_refused_by_name(tmp_path: Path) -> None:
    save_sentence_transformer(tmp_path / "model", "mean", unit=False)
    modules = json.loads((tmp_path / "model" / "modules.json").read_text())
    modules.append({"idx": 2, "name": "2", "path": "2_LSTM", "type": "sentence_transformers.models.LSTM"})
    (tmp_path / "model" / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(RecipeError, match="has the module sentence_transformers"):
        checkpoints.load(tmp_path / "model")


def test_prompts_are_put_before_texts_by_name(tmp_path: Path) -> None:
    reference = save_sentence_transformer(tmp_path / "model", "mean", unit=True)
    prompts = {"query": "anna berg works: ", "passage": "the film: "}
    (tmp_path / "model" / "config_sentence_transformers.json").write_text(
        json.dumps({"prompts": prompts, "default_prompt_name": "query"})
    )
    model = checkpoints.build_model(tmp_path / "model", tmp_path / "work")
    for name, prompt in {None: prompts["query"], **prompts}.items():
        parameters = {"prompt_name": name} if name else {}
        expected = reference.encode([prompt + text for text in TEXTS[:3]])
        np.testing.assert_allclose(embed(model, TEXTS[:3], **parameters), expected, atol=1e-5)
    with pytest.raises(BadRequest, match="`prompt_name` can be passage, query"):
        embed(model, TEXTS[:1], prompt_name="other")


VOCABULARY = ["king", "queen", "man", "woman", "paris", "france", "rome", "italy", "'s", ",", "i"]
VOCABULARY += [f"w{number}" for number in range(89)]


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> tuple[KeyedVectors, Model]:
    """100 random word vectors, in gensim and as an artifact."""
    work = tmp_path_factory.mktemp("words")
    vectors = np.random.default_rng(0).normal(size=(len(VOCABULARY), 16)).astype(np.float32)
    reference = KeyedVectors(16)
    reference.add_vectors(VOCABULARY, vectors)
    return reference, checkpoints.word_vectors(VOCABULARY, vectors, work)


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
def test_neighbours_and_analogies_equal_gensims(
    words: tuple[KeyedVectors, Model], positive: list[str], negative: list[str], count: int
) -> None:
    reference, model = words
    actual = app.neighbours(model, app.Words(positive, negative), count)
    expected = reference.most_similar(positive=positive, negative=negative, topn=count)
    assert [neighbour.word for neighbour in actual] == [word for word, _ in expected]
    np.testing.assert_allclose([neighbour.score for neighbour in actual], [score for _, score in expected], atol=1e-5)


def test_a_texts_vector_is_the_mean_of_its_known_words(words: tuple[KeyedVectors, Model]) -> None:
    reference, model = words
    vectors = embed(model, ["The King's woman, I said", "rome", "nothing known", ""])
    known = [["king", "'s", "woman", ",", "i"], ["rome"]]
    for row, names in zip(vectors, known, strict=False):
        np.testing.assert_allclose(row, np.mean([reference[name] for name in names], axis=0), atol=1e-5)
    np.testing.assert_array_equal(vectors[2:], 0)
    unit = embed(model, ["king queen", "unheard"], normalize=True)
    mean = np.mean([reference["king"], reference["queen"]], axis=0)
    np.testing.assert_allclose(unit[0], mean / np.linalg.norm(mean), atol=1e-5)
    np.testing.assert_array_equal(unit[1], 0)


def test_similarity_of_words_equals_gensims(words: tuple[KeyedVectors, Model]) -> None:
    reference, model = words
    actual = app.predict_similarity(
        model, app.SimilarityRequest(app.Sentences("KING", ["queen", "w1", "unheard"]))
    ).output
    expected = [reference.similarity("king", "queen"), reference.similarity("king", "w1"), 0]
    np.testing.assert_allclose(actual, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (app.Words(["king", "unheard"]), r"no vector for `inputs.positive\[1\]`"),
        (app.Words(["[UNK]"]), "no vector for"),
        (app.Words([""]), r"no vector for `inputs.positive\[0\]`"),
        (app.Words([], []), "at least one word"),
    ],
)
def test_an_unknown_word_is_a_bad_request(words: tuple[KeyedVectors, Model], inputs: app.Words, message: str) -> None:
    with pytest.raises(BadRequest, match=message):
        app.predict(words[1], app.Request(inputs=inputs))


def test_words_are_looked_up_in_any_case(words: tuple[KeyedVectors, Model]) -> None:
    output = app.predict(words[1], app.Request(inputs=app.Words(["King"]))).output
    assert output == app.predict(words[1], app.Request(inputs=app.Words(["king"]))).output
