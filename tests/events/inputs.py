"""A model and an input for each function, and the event with which each trigger sends that input."""

from __future__ import annotations

import base64
import json
from typing import Any

from tests.events import event
from tests.support.layers import ROOT

MODELS = {
    "text_classification": "sentiment-en",
    "token_classification": "ner-zh",
    "fill_mask": "fill-mask",
    "question_answering": "question-answering",
    "embeddings": "embeddings-en",
    "text_generation": "gpt-shakespeare",
    "translation": "translate-en-de",
    "image_classification": "resnet20-cifar10",
    "object_detection": "yolo-cells",
    "object_tracking": "yolo-cells",
    "speech_recognition": "deepspeech-digits",
}
"""The model of each function, by the name of its folder."""
INPUTS: dict[str, Any] = {
    "fill-mask": "anna berg [MASK] in oslo.",
    "question-answering": {"question": "who works in oslo?", "context": "anna berg works for a mill in oslo."},
}
"""Inputs for the models that have no golden inputs."""
HTTP_TRIGGERS = ("rest-v1", "http-v2", "function-url", "alb", "alb-multi-value")
UPLOADS = ("s3-put", "eventbridge-object-created", "sqs-s3", "sqs-eventbridge")


def upload_prefix(function: str) -> str:
    return "tracks/" if function == "object_tracking" else "uploads/"


def input_of(function: str) -> bytes:
    """Return a file for the function's model: an image, a recording, or JSON."""
    model = MODELS[function]
    if model in INPUTS:
        inputs = INPUTS[model]
    else:
        (golden,) = (ROOT / "export/zoo" / model).glob("*/golden.json")
        inputs = json.loads(golden.read_text(encoding="utf-8"))["cases"][0]["inputs"]
    if function == "object_tracking":  # the detector's image as a video of one frame
        inputs = [inputs["base64"]]
    elif isinstance(inputs, dict) and "base64" in inputs:
        return base64.b64decode(inputs["base64"])
    return json.dumps({"inputs": inputs}, ensure_ascii=False).encode()


def http_event_for(trigger: str, function: str) -> dict[str, Any]:
    """Return an HTTP event whose body is the input as bytes."""
    is_tracking = function == "object_tracking"
    path = f"/pipeline/object-tracking/{MODELS[function]}" if is_tracking else f"/models/{MODELS[function]}"
    body = input_of(function)
    content_type = "application/json" if body[:1] == b"{" else "application/octet-stream"
    return event(trigger, path=path, body=base64.b64encode(body).decode(), content_type=content_type, is_base64=True)


def upload(s3: Any, trigger: str, key: str, raw: bytes, **batch: str) -> dict[str, Any]:
    """Put `raw` into the versioned bucket `uploads`; return the event for it, or for a `batch` that contains it."""
    stored = s3.put_object(Bucket="uploads", Key=key, Body=raw)
    version = {"etag": stored["ETag"].strip('"'), "version_id": stored["VersionId"]}
    return event(trigger, key=key, size=len(raw), **version, **batch)


TRIGGERS = (*HTTP_TRIGGERS, *UPLOADS, "step-functions-batch", "ping", "golden", "s3-test-event", "direct")


def event_for(s3: Any, trigger: str, function: str) -> dict[str, Any]:
    """Return the event with which `trigger` invokes `function`; the object it refers to is uploaded first."""
    model, name = MODELS[function], f"{function} {trigger}.bin"
    if trigger in HTTP_TRIGGERS:
        return http_event_for(trigger, function)
    if trigger in UPLOADS:
        return upload(s3, trigger, f"{upload_prefix(function)}{model}/{name}", input_of(function))
    if trigger == "step-functions-batch":
        return upload(s3, trigger, f"batch/{model}/{name}", input_of(function), model=model, run=function)
    return event(trigger)


def is_success(trigger: str, output: Any) -> bool:
    """Whether a function that handled `trigger` successfully returns `output`."""
    if trigger in HTTP_TRIGGERS:
        return bool(output["statusCode"] == 200 and json.loads(output["body"]))
    if trigger == "ping":
        return all(version.isdecimal() for version in output["models"].values())
    if trigger == "golden":
        return bool(output["passed"] is True and output["golden"])
    if trigger == "direct":
        return bool(output["error_type"] == "bad_request" and "HTTP events" in output["error"])
    expected: dict[str, Any] = {"step-functions-batch": {"done": 1, "failed": []}}
    return bool(output == expected.get(trigger, {"batchItemFailures": []} if trigger.startswith("sqs") else {}))
