"""Hugging Face's own client, through the local server and through the handler. One test is one case."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError, ValidationError
from huggingface_hub.inference import _common

from tests.functions.test_predict import picture
from tests.support import ROOT

PAGE = ROOT / "functions/catalog/page"
Ask = Callable[[str], InferenceClient]


@pytest.fixture(scope="module")
def ask(server: str) -> Ask:
    def client(model: str, **more: Any) -> InferenceClient:
        return InferenceClient(f"{server}/models/{model}", token="none", **more)

    return client


def test_text_classification(ask: Ask) -> None:
    scores = ask("sentiment-en").text_classification("A wonderful film.")
    assert [score.label for score in scores] == ["positive", "negative"]
    assert len(ask("sentiment-en").text_classification("A wonderful film.", top_k=1)) == 1


def test_zero_shot_classification(ask: Ask) -> None:
    labels = ["hotel", "film", "river"]
    scores = ask("entails").zero_shot_classification("the film is good", labels)
    assert sorted(score.label for score in scores) == sorted(labels)
    assert sum(score.score for score in scores) == pytest.approx(1, abs=1e-4)
    several = ask("entails").zero_shot_classification("the film", labels, multi_label=True, hypothesis_template="a {}")
    assert len(several) == 3


def test_token_classification(ask: Ask) -> None:
    text = "王小明在北京大学工作。"
    for entity in ask("ner-zh").token_classification(text, aggregation_strategy="simple"):
        assert entity.entity_group
        assert entity.start is not None
        assert text[entity.start : entity.end]
    assert ask("ner-zh").token_classification(text, aggregation_strategy="none")


def test_fill_mask(ask: Ask) -> None:
    guesses = ask("masks").fill_mask("anna [MASK] in oslo", top_k=3)
    assert len(guesses) == 3
    assert guesses[0].score >= guesses[1].score
    assert ask("masks").fill_mask("anna [MASK] in oslo", targets=["works"])[0].token_str == "works"


def test_question_answering(ask: Ask) -> None:
    context = "anna berg works in oslo"
    (found,) = [ask("answers").question_answering(question="who works ?", context=context)]
    assert context[found.start : found.end] == found.answer
    assert len(ask("answers").question_answering(question="who works ?", context=context, top_k=2)) == 2


def test_feature_extraction(ask: Ask) -> None:
    vectors = ask("embeddings-en").feature_extraction(["A dog runs.", "A cat sleeps."], normalize=True)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_sentence_similarity(server: str) -> None:
    client = InferenceClient(f"{server}/pipeline/sentence-similarity/embeddings-en", token="none")
    near, far = client.sentence_similarity(
        "A man plays the guitar.", other_sentences=["Somebody plays an instrument.", "The bank raised its rates."]
    )
    assert near > far


def test_translation(ask: Ask) -> None:
    assert ask("translate-en-zh").translation("A dog runs.").translation_text


def test_text_generation(ask: Ask) -> None:
    client = ask("gpt-shakespeare")
    text = client.text_generation("ROMEO:\n", max_new_tokens=12)
    assert client.text_generation("ROMEO:\n", max_new_tokens=12, return_full_text=True) == "ROMEO:\n" + text
    found = client.text_generation("ROMEO:\n", max_new_tokens=12, details=True, decoder_input_details=True, seed=3)
    assert found.generated_text == text
    assert found.details.generated_tokens == len(found.details.tokens) == 12
    assert found.details.finish_reason == "length"
    assert found.details.prefill[0].logprob is None


def test_text_generation_streamed(ask: Ask) -> None:
    client = ask("gpt-shakespeare")  # kept: a stream ends with its client
    text = client.text_generation("ROMEO:\n", max_new_tokens=12)
    assert "".join(client.text_generation("ROMEO:\n", max_new_tokens=12, stream=True)) == text
    events = list(client.text_generation("ROMEO:\n", max_new_tokens=12, stream=True, details=True, top_n_tokens=2))
    assert [event.index for event in events] == list(range(1, 13))
    assert events[-1].generated_text == text
    assert events[-1].details is not None
    assert events[-1].details.finish_reason == "length"
    assert {event.details for event in events[:-1]} == {None}
    assert [len(event.top_tokens or []) for event in events] == [2] * 12


def test_text_generation_drops_what_is_not_supported(ask: Ask) -> None:
    try:
        with pytest.warns(UserWarning, match="typical_p"):
            assert ask("gpt-shakespeare").text_generation("ROMEO:\n", max_new_tokens=4, typical_p=0.5)
    finally:
        _common._UNSUPPORTED_TEXT_GENERATION_KWARGS.clear()  # the client remembers it for the whole process


def test_text_generation_has_typed_errors(ask: Ask) -> None:
    with pytest.raises(ValidationError, match="together at most"):
        ask("gpt-shakespeare").text_generation("ROMEO:\n", max_new_tokens=100_000)
    client = ask("gpt-shakespeare")
    with pytest.raises(ValidationError, match="together at most"):
        list(client.text_generation("ROMEO:\n", max_new_tokens=100_000, stream=True))


def test_chat_completion(ask: Ask) -> None:
    client = ask("talks")
    found = client.chat_completion([{"role": "user", "content": "who"}], max_tokens=8, seed=1)
    assert found.choices[0].message.role == "assistant"
    stream = client.chat_completion([{"role": "user", "content": "who"}], max_tokens=8, seed=1, stream=True)
    text = "".join(event.choices[0].delta.content or "" for event in stream if event.choices)
    assert text == found.choices[0].message.content


def test_chat_completion_below_v1(server: str) -> None:
    client = InferenceClient(base_url=f"{server}/v1", token="none")
    found = client.chat_completion([{"role": "user", "content": "who"}], model="talks", max_tokens=4)
    assert found.usage.completion_tokens == 4


def test_image_classification_of_bytes_and_files(ask: Ask) -> None:
    client = ask("resnet20-cifar10")
    assert len(client.image_classification(picture(), top_k=3)) == 3
    assert len(client.image_classification(picture())) == 5  # bytes alone, without a content type
    assert client.image_classification(PAGE / "ship.jpg")[0].label == "ship"


def test_object_detection(ask: Ask) -> None:
    boxes = ask("yolo-cells").object_detection(PAGE / "cells.jpg", threshold=0.3)
    assert boxes
    assert all(box.box.xmin < box.box.xmax for box in boxes)


def test_automatic_speech_recognition(ask: Ask) -> None:
    client = ask("deepspeech-digits")
    heard = client.automatic_speech_recognition(PAGE / "digits.mp3")
    assert len(heard.text.split()) > 2
    assert client.automatic_speech_recognition((PAGE / "digits.mp3").read_bytes()).text == heard.text


def test_endpoint_info_and_health(server: str) -> None:
    client = InferenceClient(f"{server}/models/sentiment-en", token="none", provider="hf-inference")
    assert client.get_endpoint_info()["model_task"] == "text-classification"
    assert client.health_check()


def test_versions_and_aliases(ask: Ask) -> None:
    answers = [ask(f"sentiment-en{suffix}").text_classification("good")[0].score for suffix in ("", "@prod")]
    assert answers[0] == answers[1]


def test_an_error_says_what_to_do(ask: Ask) -> None:
    with pytest.raises(HfHubHTTPError, match="There is no model none here") as failure:
        ask("none").text_classification("a")
    assert failure.value.response.status_code == 404
    with pytest.raises(HfHubHTTPError, match="must be JPEG, PNG"):
        ask("resnet20-cifar10").image_classification(b"no picture")
