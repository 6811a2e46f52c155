"""What wakes each function: a model of its own, an input for it, and that input as each trigger brings it."""

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
"""By the function's folder."""
INPUTS: dict[str, Any] = {
    "fill-mask": "anna berg [MASK] in oslo.",
    "question-answering": {"question": "who works in oslo?", "context": "anna berg works for a mill in oslo."},
}
"""Of the models that have no golden inputs."""
DOORS = ("rest-v1", "http-v2", "function-url", "alb", "alb-multi-value")
UPLOADS = ("s3-put", "eventbridge-object-created", "sqs-s3", "sqs-eventbridge")


def upload_prefix(function: str) -> str:
    return "tracks/" if function == "object_tracking" else "uploads/"


def input_of(function: str) -> bytes:
    """What a file for the function's model has in it: bytes of a picture or a recording, or JSON."""
    model = MODELS[function]
    if model in INPUTS:
        found = INPUTS[model]
    else:
        (golden,) = (ROOT / "export/zoo" / model).glob("*/golden.json")
        found = json.loads(golden.read_text(encoding="utf-8"))["cases"][0]["inputs"]
    if function == "object_tracking":  # the detector's picture as a film of one
        found = [found["base64"]]
    elif isinstance(found, dict) and "base64" in found:
        return base64.b64decode(found["base64"])
    return json.dumps({"inputs": found}, ensure_ascii=False).encode()


def asked(door: str, function: str) -> dict[str, Any]:
    """An HTTP event that brings the input as bytes."""
    tracked = function == "object_tracking"
    path = f"/pipeline/object-tracking/{MODELS[function]}" if tracked else f"/models/{MODELS[function]}"
    raw = input_of(function)
    kind = "application/json" if raw[:1] == b"{" else "application/octet-stream"
    return event(door, path=path, body=base64.b64encode(raw).decode(), content_type=kind, is_base64=True)


def uploaded(s3: Any, trigger: str, key: str, raw: bytes, **batch: str) -> dict[str, Any]:
    """Put `raw` into the bucket `uploads`, which has versions; the event that tells of it, or of a `batch` with it."""
    stored = s3.put_object(Bucket="uploads", Key=key, Body=raw)
    about = {"etag": stored["ETag"].strip('"'), "version_id": stored["VersionId"]}
    return event(trigger, key=key, size=len(raw), **about, **batch)


TRIGGERS = (*DOORS, *UPLOADS, "step-functions-batch", "ping", "golden", "s3-test-event", "direct")


def waking(s3: Any, trigger: str, function: str) -> dict[str, Any]:
    """The event with which `trigger` wakes `function`; the object that it tells of is there."""
    model, name = MODELS[function], f"{function} {trigger}.bin"
    if trigger in DOORS:
        return asked(trigger, function)
    if trigger in UPLOADS:
        return uploaded(s3, trigger, f"{upload_prefix(function)}{model}/{name}", input_of(function))
    if trigger == "step-functions-batch":
        return uploaded(s3, trigger, f"batch/{model}/{name}", input_of(function), model=model, run=function)
    return event(trigger)


def right(trigger: str, answer: Any) -> bool:
    """Whether `answer` is that of a function that did what `trigger` wants."""
    if trigger in DOORS:
        return bool(answer["statusCode"] == 200 and json.loads(answer["body"]))
    if trigger == "ping":
        return all(version.isdecimal() for version in answer["models"].values())
    if trigger == "golden":
        return bool(answer["passed"] is True and answer["golden"])
    if trigger == "direct":
        return bool(answer["error_type"] == "bad_request" and "HTTP events" in answer["error"])
    expected: dict[str, Any] = {"step-functions-batch": {"done": 1, "failed": []}}
    return bool(answer == expected.get(trigger, {"batchItemFailures": []} if trigger.startswith("sqs") else {}))
