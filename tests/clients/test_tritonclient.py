"""NVIDIA's tritonclient[http]: one test per case of the conformance matrix."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from tests.support.pictures import picture
from tests.support.sounds import encode_audio

Array = np.ndarray[Any, Any]
IDS, MASK = np.array([[101, 2293, 102]]), np.ones((1, 3), np.int64)


@pytest.fixture
def client(server: str) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(server.removeprefix("http://")) as client:
        yield client


def tensor(name: str, array: Array, datatype: str, *, binary: bool = True) -> triton.InferInput:
    infer_input = triton.InferInput(name, list(array.shape), datatype)
    infer_input.set_data_from_numpy(array, binary_data=binary)
    return infer_input


def elements(name: str, *values: str | bytes, binary: bool = True) -> triton.InferInput:
    return tensor(name, np.array(values, object), "BYTES", binary=binary)


def output(name: str, **options: Any) -> triton.InferRequestedOutput:
    return triton.InferRequestedOutput(name, **options)


def raw(*, binary: bool) -> list[triton.InferInput]:
    return [tensor("input_ids", IDS, "INT64", binary=binary), tensor("attention_mask", MASK, "INT64", binary=binary)]


def responses(result: triton.InferResult) -> list[Any]:
    return [json.loads(text) for text in result.as_numpy("response").ravel()]


def test_server_live_ready_and_metadata(client: triton.InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    metadata = client.get_server_metadata()
    assert metadata["name"] == "hearth"
    assert "binary_tensor_data" in metadata["extensions"]


def test_model_ready_metadata_and_config(client: triton.InferenceServerClient) -> None:
    assert client.is_model_ready("sentiment-en")
    assert client.is_model_ready("sentiment-en", "1")
    assert not client.is_model_ready("none")
    metadata = client.get_model_metadata("sentiment-en", "1")
    assert metadata["inputs"] == [{"name": "text", "datatype": "BYTES", "shape": [-1]}]
    assert metadata["properties"]["licence"]
    assert client.get_model_config("sentiment-en-raw")["input"][0]["data_type"] == "TYPE_INT64"


def test_infer_binary_both_ways(client: triton.InferenceServerClient) -> None:
    result = client.infer("sentiment-en", [elements("text", "i love it", "what a waste")], request_id="x")
    assert result.get_response()["id"] == "x"
    assert result.get_response()["model_version"] == "1"
    assert result.as_numpy("scores").shape == (2, 2)
    assert result.as_numpy("scores").dtype == np.float32
    assert [scores[0]["label"] for scores in responses(result)] == ["positive", "negative"]


def test_infer_json_both_ways(client: triton.InferenceServerClient) -> None:
    outputs = [output("scores", binary_data=False), output("response", binary_data=False)]
    result = client.infer("sentiment-en", [elements("text", "i love it", binary=False)], outputs=outputs)
    assert result.as_numpy("scores")[0, 1] > 0.9


def test_binary_in_json_out_and_the_reverse(client: triton.InferenceServerClient) -> None:
    results = [
        client.infer("sentiment-en-raw", raw(binary=not binary), outputs=[output("logits", binary_data=binary)])
        for binary in (True, False)
    ]
    mixed = client.infer("sentiment-en-raw", [raw(binary=True)[0], raw(binary=False)[1]])
    assert (
        results[0].as_numpy("logits").tolist()
        == results[1].as_numpy("logits").tolist()
        == mixed.as_numpy("logits").tolist()
    )


def test_version_and_alias_give_equal_outputs(client: triton.InferenceServerClient) -> None:
    inputs = [elements("text", "i love it")]
    plain = client.infer("sentiment-en", inputs).as_numpy("scores").tolist()
    for name, version in (("sentiment-en", "1"), ("sentiment-en@prod", ""), ("sentiment-en@1", "")):
        assert client.infer(name, inputs, model_version=version).as_numpy("scores").tolist() == plain


def test_parameters_are_passed_to_the_task(client: triton.InferenceServerClient) -> None:
    result = client.infer(
        "sentiment-en", [elements("text", "i love it")], parameters={"top_k": 1}, priority=1, timeout=9
    )
    assert [len(scores) for scores in responses(result)] == [1]
    with pytest.raises(InferenceServerException, match="top_k"):
        client.infer("sentiment-en", [elements("text", "a")], parameters={"top_k": 0})


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_compressed_requests_and_responses(client: triton.InferenceServerClient, algorithm: str) -> None:
    result = client.infer(
        "embeddings-en",
        [elements("text", "a sentence", "another one")],
        request_compression_algorithm=algorithm,
        response_compression_algorithm=algorithm,
    )
    assert result.as_numpy("embedding").shape == (2, 256)


def test_classification(client: triton.InferenceServerClient) -> None:
    result = client.infer("sentiment-en", [elements("text", "i love it")], outputs=[output("scores", class_count=1)])
    assert result.as_numpy("scores")[0, 0].decode().endswith(":1:positive")


def test_async_infer(client: triton.InferenceServerClient) -> None:
    pending = [client.async_infer("sentiment-en", [elements("text", text)]) for text in ("i love it", "what a waste")]
    labels = [responses(request.get_result())[0][0]["label"] for request in pending]
    assert labels == ["positive", "negative"]


def test_bytes_that_are_not_utf8(client: triton.InferenceServerClient) -> None:
    result = client.infer("resnet20-cifar10", [elements("image", picture())])  # a PNG
    assert result.as_numpy("scores").shape == (1, 10)
    with pytest.raises(InferenceServerException, match="UTF-8"):
        client.infer("sentiment-en", [elements("text", b"\xff\xfe")])


def test_half_floats_are_refused_in_json(server: str, client: triton.InferenceServerClient) -> None:
    pixels = np.zeros((1, 3, 32, 32), np.float16)
    with pytest.raises(InferenceServerException, match="binary data"):
        client.infer("resnet20-cifar10-raw", [tensor("pixels", pixels, "FP16", binary=False)])
    with pytest.raises(
        InferenceServerException, match="is FP32, not FP16"
    ):  # read from bytes, but refused because they are not FP32
        client.infer("resnet20-cifar10-raw", [tensor("pixels", pixels, "FP16")])


def test_a_wrong_byte_count_is_refused(client: triton.InferenceServerClient) -> None:
    truncated = raw(binary=True)
    truncated[0]._raw_data = truncated[0]._raw_data[:-8]
    truncated[0]._parameters["binary_data_size"] -= 8
    with pytest.raises(InferenceServerException, match="24 bytes; 16 were sent") as error:
        client.infer("sentiment-en-raw", truncated)
    assert error.value.status() == "400"


def test_errors_are_strings_with_their_status(client: triton.InferenceServerClient) -> None:
    for name, status in (("none", "404"), ("sentiment-en@9", "404"), ("UP", "400")):
        with pytest.raises(InferenceServerException) as error:
            client.infer(name, [elements("text", "a")])
        assert error.value.status() == status
    with pytest.raises(InferenceServerException, match="out of data bounds") as error:
        client.infer("sentiment-en-raw", [tensor("input_ids", IDS + 10**6, "INT64"), raw(binary=True)[1]])
    assert error.value.status() == "400"


def test_repository_index_load_and_unload(client: triton.InferenceServerClient) -> None:
    client.load_model("sentiment-zh")
    index = {model["name"]: model["state"] for model in client.get_model_repository_index()}
    assert index["sentiment-zh"] == "READY"
    client.unload_model("sentiment-zh")
    index = {model["name"]: model["state"] for model in client.get_model_repository_index()}
    assert index["sentiment-zh"] == "UNAVAILABLE"
    assert client.is_model_ready("sentiment-zh")  # the next request loads it


def test_overrides_at_load_are_refused(client: triton.InferenceServerClient) -> None:
    with pytest.raises(InferenceServerException) as error:
        client.load_model("sentiment-zh", config="{}", files={"file:1/model.onnx": b"x"})
    assert error.value.status() == "403"


def test_statistics(client: triton.InferenceServerClient) -> None:
    def count() -> int:
        (stats,) = client.get_inference_statistics("sentiment-en")["model_stats"]
        return int(stats["inference_count"])

    before = count()
    client.infer("sentiment-en", [elements("text", "a", "b")])
    assert count() - before == 2
    assert len(client.get_inference_statistics()["model_stats"]) > 9


def test_unsupported_endpoints_return_a_protocol_error(client: triton.InferenceServerClient) -> None:
    for call in (client.get_system_shared_memory_status, client.get_trace_settings, client.get_log_settings):
        with pytest.raises(InferenceServerException) as error:
            call()
        assert error.value.status() == "404"


SIMILARITY_PARAMETERS = {"task": "sentence-similarity", "source_sentence": "c"}
ZERO_SHOT_PARAMETERS = {"task": "zero-shot-classification", "candidate_labels": "good,bad"}
SOUND = encode_audio(0.3 * np.sin(np.arange(4000) / 3), 8000)
TASKS: dict[str, tuple[str, list[triton.InferInput], dict[str, Any], dict[str, tuple[int, ...]]]] = {
    "text-classification": ("sentiment-zh", [elements("text", "喜欢", "糟糕")], {}, {"scores": (2, 2)}),
    "token-classification": ("ner-zh", [elements("text", "王小明去北京", "我去了上海")], {}, {}),
    "feature-extraction": ("embeddings-en", [elements("text", "a", "b")], {"dimensions": 8}, {"embedding": (2, 8)}),
    "sentence-similarity": ("embeddings-en", [elements("text", "a", "b")], SIMILARITY_PARAMETERS, {"scores": (2,)}),
    "translation": ("translate-en-zh", [elements("text", "A dog.")], {"num_beams": 1}, {"translation_text": (1,)}),
    "text-generation": ("gpt-shakespeare", [elements("text", "I")], {"max_new_tokens": 4}, {"generated_text": (1,)}),
    "fill-mask": ("masks", [elements("text", "anna is in [MASK]", "oslo [MASK] [MASK]")], {"top_k": 3}, {}),
    "question-answering": (
        "answers",
        [elements("question", "who"), elements("context", "anna works in oslo")],
        {"top_k": 2},
        {"answer": (1,), "start": (1,)},
    ),
    "zero-shot-classification": (
        "entails",
        [elements("text", "good film", "bad")],
        ZERO_SHOT_PARAMETERS,
        {"scores": (2, 2)},
    ),
    "image-classification": ("resnet20-cifar10", [elements("image", *[picture()] * 2)], {}, {"scores": (2, 10)}),
    "object-detection": ("yolo-cells", [elements("image", picture())], {"threshold": 0.0}, {"num_dets": (1, 1)}),
    "object-tracking": ("yolo-cells", [elements("video", *[picture()] * 2)], {"task": "object-tracking"}, {}),
    "automatic-speech-recognition": ("deepspeech-digits", [elements("audio", SOUND)], {}, {"transcript": (1,)}),
}
"""Model, inputs, parameters, and the shapes of the outputs beside the native response, by task."""


@pytest.mark.parametrize("task", TASKS)
def test_every_task(client: triton.InferenceServerClient, task: str) -> None:
    model, inputs, parameters, outputs = TASKS[task]
    result = client.infer(model, inputs, parameters=parameters)
    assert responses(result)
    for name, shape in outputs.items():
        assert result.as_numpy(name).shape == shape


def test_every_graph_of_a_model(client: triton.InferenceServerClient) -> None:
    pixels = tensor("pixels", np.zeros((2, 3, 32, 32), np.float32), "FP32")
    assert client.infer("resnet20-cifar10-raw", [pixels]).as_numpy("logits").shape == (2, 10)
    mask = tensor("attention_mask", np.ones((1, 2), np.int64), "INT64")
    encoded = client.infer("translate-en-zh-raw", [tensor("input_ids", np.array([[5, 1]]), "INT64"), mask])
    inputs = [tensor("input_ids", np.array([[0]]), "INT64"), mask]
    for spec in client.get_model_metadata("translate-en-zh-raw-decoder")["inputs"][2:]:
        name, (_, heads, _, size) = spec["name"], spec["shape"]
        array = encoded.as_numpy(name) if name.startswith("cross") else np.zeros((1, heads, 0, size), np.float32)
        inputs.append(tensor(name, array, "FP32"))
    result = client.infer("translate-en-zh-raw-decoder", inputs)
    assert result.as_numpy("logits").shape[0] == 1
    assert result.as_numpy("present_key_0").shape[2] == 1
