"""zero-shot-image-classification and image-feature-extraction: vectors that are the mean colours of a picture."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers

from hearth.errors import BadRequest
from hearth.models.heads import Contrastive
from hearth.models.manifest import Limits
from hearth.models.preprocessing import ImagePreprocessing
from hearth_functions.image_embeddings import app

COLOURS = {"red": 1, "green": 2, "blue": 3}
VOCABULARY = {"[UNK]": 0, **COLOURS, "[PAD]": 4}


def model(**head: Any) -> Any:
    """The vector of a text is the sum of its colours'; that of a picture is its mean colour."""
    tokenizer = Tokenizer(models.WordLevel(VOCABULARY, "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    table = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0]], np.float32)
    shapes: list[tuple[int, ...]] = []

    def run(feeds: dict[str, Any], role: str = "main") -> list[Any]:
        if role == "main":
            shapes.append(feeds["pixels"].shape)
            return [feeds["pixels"].mean((2, 3))]
        shapes.append(feeds["input_ids"].shape)
        return [(table[feeds["input_ids"]] * feeds["attention_mask"][..., None]).sum(1)]

    fields: dict[str, Any] = {"dimensions": 3, "tokenizer": "tokenizer.json", "pad_id": 4, "scale": 2.0, "bias": -1.0}
    return SimpleNamespace(
        manifest=SimpleNamespace(limits=Limits(batch=20, pixels=10**6), activation="softmax"),
        preprocessing=ImagePreprocessing(8, 8, "stretch", (0.0,) * 3, (1.0,) * 3),
        head=Contrastive(**fields | head),
        input_names={"main": ["pixels"], "text": ["input_ids", "attention_mask"]},
        tokenizer=tokenizer,
        run=run,
        shapes=shapes,
    )


def picture(colour: tuple[int, int, int]) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (10, 6), colour).save(stream, "PNG")
    return stream.getvalue()


def classify(inputs: Any, labels: Any, served: Any = None, **parameters: Any) -> Any:
    request = app.Request(inputs, app.Parameters(labels, **parameters))
    return app.predict(served or model(), request).output


def test_scores_are_the_softmax_of_scaled_cosines() -> None:
    answer = classify(picture((255, 0, 0)), ["green", "red"])
    expected = np.exp([2.0 - 1, -1.0])
    assert [item.label for item in answer] == ["red", "green"]
    np.testing.assert_allclose([item.score for item in answer], expected / expected.sum(), atol=1e-6)


def test_the_bias_counts_with_a_sigmoid_and_labels_may_be_one_text() -> None:
    answer = classify(picture((0, 0, 255)), "red, blue", function_to_apply="sigmoid")
    np.testing.assert_allclose([item.score for item in answer], 1 / (1 + np.exp([-1.0, 1.0])), atol=1e-6)


def test_a_list_of_pictures_is_run_in_batches() -> None:
    served = model()
    answers = classify([picture((255, 0, 0))] * 11, ["red", "green red"], served)
    assert len(answers) == 11
    assert [shape[0] for shape in served.shapes if len(shape) == 4] == [8, 3]


def test_texts_are_padded_to_a_fixed_length_where_the_model_needs_it() -> None:
    served = model(fixed_length=True, max_tokens=12)
    classify(picture((255, 0, 0)), ["red"], served, hypothesis_template="{}")
    assert served.shapes[-1] == (1, 12)


@pytest.mark.parametrize(
    ("labels", "parameters", "head", "message"),
    [
        (["red", "red"], {}, {}, "must be different texts"),
        ("red,,blue", {}, {}, "not empty"),
        (["red"], {"hypothesis_template": "no place"}, {}, "must have {} in the place"),
        (["red"], {}, {"tokenizer": None}, "has no text encoder"),
    ],
)
def test_labels_that_cannot_be_compared_are_refused(
    labels: Any, parameters: dict[str, Any], head: dict[str, Any], message: str
) -> None:
    with pytest.raises(BadRequest, match=message):
        classify(picture((255, 0, 0)), labels, model(**head), **parameters)


def test_vectors_have_the_length_one_unless_they_are_wanted_as_they_are() -> None:
    request = app.EmbeddingRequest(picture((255, 0, 255)))
    np.testing.assert_allclose(app.predict_vectors(model(), request).output, [[0.5**0.5, 0, 0.5**0.5]], atol=1e-6)
    plain = app.EmbeddingRequest(picture((255, 0, 255)), app.EmbeddingParameters(normalize=False))
    np.testing.assert_allclose(app.predict_vectors(model(), plain).output, [[1, 0, 1]], atol=1e-6)
