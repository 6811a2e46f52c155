"""Hugging Face's own client, through the local server and through the handler. One test per case."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError, ValidationError
from huggingface_hub.inference import _common

from tests.support import ROOT
from tests.support.pictures import picture

PAGE = ROOT / "functions/catalog/page"
ClientFactory = Callable[[str], InferenceClient]


@pytest.fixture(scope="module")
def client_for(server: str) -> ClientFactory:
    def client(model: str, **options: Any) -> InferenceClient:
        return InferenceClient(f"{server}/models/{model}", token="none", **options)

    return client


def test_text_classification(client_for: ClientFactory) -> None:
    scores = client_for("sentiment-en").text_classification("A wonderful film.")
    assert [score.label for score in scores] == ["positive", "negative"]
    assert len(client_for("sentiment-en").text_classification("A wonderful film.", top_k=1)) == 1


def test_zero_shot_classification(client_for: ClientFactory) -> None:
    labels = ["hotel", "film", "river"]
    scores = client_for("entails").zero_shot_classification("the film is good", labels)
    assert sorted(score.label for score in scores) == sorted(labels)
    assert sum(score.score for score in scores) == pytest.approx(1, abs=1e-4)
    several = client_for("entails").zero_shot_classification(
        "the film", labels, multi_label=True, hypothesis_template="a {}"
    )
    assert len(several) == 3


def test_token_classification(client_for: ClientFactory) -> None:
    text = "王小明在北京大学工作。"
    for entity in client_for("ner-zh").token_classification(text, aggregation_strategy="simple"):
        assert entity.entity_group
        assert entity.start is not None
        assert text[entity.start : entity.end]
    assert client_for("ner-zh").token_classification(text, aggregation_strategy="none")


def test_fill_mask(client_for: ClientFactory) -> None:
    predictions = client_for("masks").fill_mask("anna [MASK] in oslo", top_k=3)
    assert len(predictions) == 3
    assert predictions[0].score >= predictions[1].score
    assert client_for("masks").fill_mask("anna [MASK] in oslo", targets=["works"])[0].token_str == "works"


def test_question_answering(client_for: ClientFactory) -> None:
    context = "anna berg works in oslo"
    (answer,) = [client_for("answers").question_answering(question="who works ?", context=context)]
    assert context[answer.start : answer.end] == answer.answer
    assert len(client_for("answers").question_answering(question="who works ?", context=context, top_k=2)) == 2


def test_feature_extraction(client_for: ClientFactory) -> None:
    vectors = client_for("embeddings-en").feature_extraction(["A dog runs.", "A cat sleeps."], normalize=True)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_sentence_similarity(server: str) -> None:
    client = InferenceClient(f"{server}/pipeline/sentence-similarity/embeddings-en", token="none")
    near, far = client.sentence_similarity(
        "A man plays the guitar.", other_sentences=["Somebody plays an instrument.", "The bank raised its rates."]
    )
    assert near > far


def test_translation(client_for: ClientFactory) -> None:
    assert client_for("translate-en-zh").translation("A dog runs.").translation_text


def test_text_generation(client_for: ClientFactory) -> None:
    client = client_for("gpt-shakespeare")
    text = client.text_generation("ROMEO:\n", max_new_tokens=12)
    assert client.text_generation("ROMEO:\n", max_new_tokens=12, return_full_text=True) == "ROMEO:\n" + text
    output = client.text_generation("ROMEO:\n", max_new_tokens=12, details=True, decoder_input_details=True, seed=3)
    assert output.generated_text == text
    assert output.details.generated_tokens == len(output.details.tokens) == 12
    assert output.details.finish_reason == "length"
    assert output.details.prefill[0].logprob is None


def test_text_generation_streamed(client_for: ClientFactory) -> None:
    client = client_for("gpt-shakespeare")  # keep a reference: a stream ends with its client
    text = client.text_generation("ROMEO:\n", max_new_tokens=12)
    assert "".join(client.text_generation("ROMEO:\n", max_new_tokens=12, stream=True)) == text
    events = list(client.text_generation("ROMEO:\n", max_new_tokens=12, stream=True, details=True, top_n_tokens=2))
    assert [event.index for event in events] == list(range(1, 13))
    assert events[-1].generated_text == text
    assert events[-1].details is not None
    assert events[-1].details.finish_reason == "length"
    assert {event.details for event in events[:-1]} == {None}
    assert [len(event.top_tokens or []) for event in events] == [2] * 12


def test_text_generation_drops_unsupported_parameters(client_for: ClientFactory) -> None:
    try:
        with pytest.warns(UserWarning, match="typical_p"):
            assert client_for("gpt-shakespeare").text_generation("ROMEO:\n", max_new_tokens=4, typical_p=0.5)
    finally:
        _common._UNSUPPORTED_TEXT_GENERATION_KWARGS.clear()  # the client remembers it for the whole process


def test_text_generation_has_typed_errors(client_for: ClientFactory) -> None:
    with pytest.raises(ValidationError, match="together at most"):
        client_for("gpt-shakespeare").text_generation("ROMEO:\n", max_new_tokens=100_000)
    client = client_for("gpt-shakespeare")
    with pytest.raises(ValidationError, match="together at most"):
        list(client.text_generation("ROMEO:\n", max_new_tokens=100_000, stream=True))


def test_chat_completion(client_for: ClientFactory) -> None:
    client = client_for("talks")
    completion = client.chat_completion([{"role": "user", "content": "who"}], max_tokens=8, seed=1)
    assert completion.choices[0].message.role == "assistant"
    stream = client.chat_completion([{"role": "user", "content": "who"}], max_tokens=8, seed=1, stream=True)
    text = "".join(event.choices[0].delta.content or "" for event in stream if event.choices)
    assert text == completion.choices[0].message.content


def test_chat_completion_below_v1(server: str) -> None:
    client = InferenceClient(base_url=f"{server}/v1", token="none")
    completion = client.chat_completion([{"role": "user", "content": "who"}], model="talks", max_tokens=4)
    assert completion.usage.completion_tokens == 4


def test_image_classification_of_bytes_and_files(client_for: ClientFactory) -> None:
    client = client_for("resnet20-cifar10")
    assert len(client.image_classification(picture(), top_k=3)) == 3
    assert len(client.image_classification(picture())) == 5  # bytes without a content type
    assert client.image_classification(PAGE / "ship.jpg")[0].label == "ship"


def test_object_detection(client_for: ClientFactory) -> None:
    boxes = client_for("yolo-cells").object_detection(PAGE / "cells.jpg", threshold=0.3)
    assert boxes
    assert all(box.box.xmin < box.box.xmax for box in boxes)


def test_automatic_speech_recognition(client_for: ClientFactory) -> None:
    client = client_for("deepspeech-digits")
    transcript = client.automatic_speech_recognition(PAGE / "digits.mp3")
    assert len(transcript.text.split()) > 2
    assert client.automatic_speech_recognition((PAGE / "digits.mp3").read_bytes()).text == transcript.text


def test_endpoint_info_and_health(server: str) -> None:
    client = InferenceClient(f"{server}/models/sentiment-en", token="none", provider="hf-inference")
    assert client.get_endpoint_info()["model_task"] == "text-classification"
    assert client.health_check()


def test_versions_and_aliases(client_for: ClientFactory) -> None:
    scores = [client_for(f"sentiment-en{suffix}").text_classification("good")[0].score for suffix in ("", "@prod")]
    assert scores[0] == scores[1]


def test_an_error_says_what_to_do(client_for: ClientFactory) -> None:
    with pytest.raises(HfHubHTTPError, match="There is no model none here") as failure:
        client_for("none").text_classification("a")
    assert failure.value.response.status_code == 404
    with pytest.raises(HfHubHTTPError, match="must be JPEG, PNG"):
        client_for("resnet20-cifar10").image_classification(b"no picture")
