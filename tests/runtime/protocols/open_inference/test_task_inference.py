"""Tasks called by tensors: the same answers as in their own protocol."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from tests.runtime.protocols.open_inference.calls import infer, infer_binary, texts, to_base64
from tests.support.pictures import picture
from tests.support.sounds import encode_audio

SOUND = to_base64(encode_audio(0.3 * np.sin(np.arange(4000) / 3), 8000))


TASKS: list[tuple[str, str, list[str], dict[str, Any], dict[str, list[int]]]] = [
    ("sentiment-en", "text", ["i love it", "what a waste"], {}, {"scores": [2, 2]}),
    ("ner-zh", "text", ["王小明昨天从北京大学出发", "我去了上海"], {"aggregation_strategy": "none"}, {}),
    ("embeddings-en", "text", ["hello", "good bye"], {"dimensions": 64}, {"embedding": [2, 64]}),
    ("translate-en-zh", "text", ["A dog runs.", "Two children."], {"num_beams": 1}, {"translation_text": [2]}),
    ("gpt-shakespeare", "text", ["ROMEO:"], {"max_new_tokens": 5, "details": True, "seed": 1}, {"generated_text": [1]}),
    ("resnet20-cifar10", "image", [to_base64(picture())] * 2, {"top_k": 2}, {"scores": [2, 10]}),
    ("yolo-cells", "image", [to_base64(picture())] * 2, {"threshold": 0.01}, {"num_dets": [2, 1]}),
    ("deepspeech-digits", "audio", [SOUND], {"return_timestamps": True}, {"transcript": [1]}),
]


@pytest.mark.parametrize(("model", "name", "items", "parameters", "shapes"), TASKS, ids=[task[0] for task in TASKS])
def test_responses_equal_the_native_outputs(
    client: TestClient, model: str, name: str, items: list[str], parameters: dict[str, Any], shapes: dict[str, Any]
) -> None:
    outputs = infer(client, model, texts(*items, name=name), parameters=parameters)
    assert {key: outputs[key]["shape"] for key in shapes} == shapes
    actual = [json.loads(text) for text in outputs["response"]["data"]]
    native = client.post(
        f"/models/{model}", json={"inputs": items if len(items) > 1 else items[0], "parameters": parameters}
    )
    assert actual == (native.json() if model != "deepspeech-digits" else [native.json()])
    assert set(outputs) == {output["name"] for output in client.get(f"/v2/models/{model}").json()["outputs"]}


def test_typed_outputs_equal_the_responses(client: TestClient) -> None:
    outputs = infer(client, "sentiment-en", texts("i love it", "awful"))
    scores = np.reshape(outputs["scores"]["data"], (2, 2))
    for row, text in zip(scores, outputs["response"]["data"], strict=True):
        assert {score["label"]: score["score"] for score in json.loads(text)} == dict(
            zip(["negative", "positive"], row.tolist(), strict=True)
        )
    outputs = infer(client, "yolo-cells", texts(to_base64(picture()), name="image"), parameters={"threshold": 0.0})
    boxes = json.loads(outputs["response"]["data"][0])
    assert outputs["num_dets"]["data"] == [len(boxes)]
    assert outputs["det_boxes"]["data"][:4] == [boxes[0]["box"][edge] for edge in ("xmin", "ymin", "xmax", "ymax")]
    assert outputs["det_classes"]["data"][0] == ["RBC", "WBC", "Platelets"].index(boxes[0]["label"])
    outputs = infer(client, "embeddings-en", texts("hello"))
    assert json.loads(outputs["response"]["data"][0]) == pytest.approx(outputs["embedding"]["data"], abs=1e-7)


def test_another_task_of_the_same_model_is_chosen_by_parameter(client: TestClient) -> None:
    sentences = ["Somebody plays an instrument.", "The bank raised its rates."]
    task_parameters = {"task": "sentence-similarity", "source_sentence": "A man is playing the guitar."}
    outputs = infer(client, "embeddings-en", texts(*sentences), parameters=task_parameters)
    native = client.post(
        "/pipeline/sentence-similarity/embeddings-en",
        json={"inputs": {"source_sentence": task_parameters["source_sentence"], "sentences": sentences}},
    ).json()
    assert outputs["scores"]["data"] == pytest.approx(native)
    frames = texts(*[to_base64(picture())] * 3, name="video")
    outputs = infer(client, "yolo-cells", frames, parameters={"task": "object-tracking"})
    assert json.loads(outputs["response"]["data"][0])["frames"] == 3
    assert outputs["tracks"]["shape"][1] == 8
    requested = [{"name": "tracks", "parameters": {"classification": 1}}]
    outputs = infer(client, "yolo-cells", frames, parameters={"task": "object-tracking"}, outputs=requested)
    assert outputs["tracks"]["shape"] == [0, 1]


def test_list_parameters_are_sent_as_json(client: TestClient) -> None:
    options = {"max_new_tokens": 20, "seed": 1, "temperature": 0.8}
    text = infer(client, "gpt-shakespeare", texts("ROMEO:"), parameters=options)["generated_text"]["data"][0]
    stop = text[6:8]
    stopped = infer(client, "gpt-shakespeare", texts("ROMEO:"), parameters={**options, "stop": json.dumps([stop])})
    assert stopped["generated_text"]["data"][0] == text[: text.index(stop)]


def test_mlservers_content_types_are_accepted(client: TestClient) -> None:
    plain = infer(client, "sentiment-en", texts("i love it"))["scores"]
    for parameters in ({"content_type": "str"}, {"content_type": "base64"}):
        data = to_base64(b"i love it") if parameters["content_type"] == "base64" else "i love it"
        input_tensor = {**texts(data), "parameters": parameters}
        assert infer(client, "sentiment-en", input_tensor)["scores"] == plain
        assert infer(client, "sentiment-en", texts(data), parameters=parameters)["scores"] == plain
    body = struct.pack("<I", len(to_base64(picture()))) + to_base64(picture()).encode()
    image = {
        "name": "image",
        "datatype": "BYTES",
        "shape": [1],
        "parameters": {"binary_data_size": len(body), "content_type": "base64"},
    }
    header, _, _ = infer_binary(client, "resnet20-cifar10", {"inputs": [image]}, body)
    assert (
        header["outputs"][1] == infer(client, "resnet20-cifar10", texts(to_base64(picture()), name="image"))["scores"]
    )
