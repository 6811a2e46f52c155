"""Valid requests of every protocol, for other modules to mutate."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.hostile import media


@dataclass(frozen=True)
class Base:
    protocol: str
    method: str
    path: str
    body: Any = None
    """A JSON document, or bytes."""
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)


def _post(protocol: str, path: str, body: Any, **headers: str) -> Base:
    kind = "application/octet-stream" if isinstance(body, bytes) else "application/json"
    return Base(
        protocol, "POST", path, body, {"content-type": kind} | {k.replace("_", "-"): headers[k] for k in headers}
    )


def form(fields: Mapping[str, str], name: str, data: bytes, boundary: str = "XbX") -> bytes:
    """A multipart body with the `fields` and the file `data` named `name`."""
    field_parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n' for k, v in fields.items()
    ]
    file_header = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
    return "".join([*field_parts, file_header]).encode() + data + f"\r\n--{boundary}--\r\n".encode()


def _native(text: str, name: str) -> list[Base]:
    picture, sound, film = media.picture("jpeg", text), media.sound("wav", text), media.film(text)
    encoded = base64.b64encode(picture).decode()
    pair = {"question": f"who is {text}", "context": f"anna works for {text} in oslo"}
    short = {"max_new_tokens": 3}
    documents: list[tuple[str, Any]] = [
        ("sentiment-en", {"inputs": f"a good film {text}", "parameters": {"top_k": 1}}),
        ("sentiment-en", {"inputs": [text, f"bad {text}"]}),
        ("entails", {"inputs": f"good {text}"}),
        ("masks", {"inputs": f"the [MASK] {text}", "parameters": {"targets": [text]}}),
        ("answers", {"inputs": pair, "parameters": {"top_k": 2}}),
        ("ner-zh", {"inputs": f"我在北京 {text}", "parameters": {"ignore_labels": [text]}}),
        ("embeddings-en", {"inputs": [f"good {text}"], "parameters": {"normalize": True}}),
        ("translate-en-zh", {"inputs": text[:8], "parameters": {"src_lang": "en", "tgt_lang": "zh"}}),
        ("gpt-shakespeare", {"inputs": text, "parameters": {**short, "stop": [text]}}),
        ("gpt-shakespeare", {"inputs": text, "parameters": {**short, "details": True}, "stream": True}),
        ("resnet20-cifar10", {"inputs": encoded, "parameters": {"top_k": 1}}),
        ("squares", {"inputs": encoded, "parameters": {"threshold": 0.5}}),
        ("ranks", {"inputs": {"query": text, "texts": [f"good {text}", "bad"]}, "parameters": {"return_text": True}}),
        ("summarizes", {"inputs": f"two dogs {text}", "parameters": {"max_new_tokens": 3, "num_beams": 2}}),
        ("segments", {"inputs": encoded, "parameters": {"mask_format": "rle"}}),
        ("pictures", {"inputs": encoded, "parameters": {"candidate_labels": [text, "dog"]}}),
        ("table", {"inputs": [{"x0": 1.5, "x1": 0, "x2": -2}]}),
        ("tensors", {"inputs": {"x": [[1.0, -2.5, 3.0]]}}),
    ]
    bases = [_post("native", f"/models/{model}", document) for model, document in documents]
    row = {"x0": 1.5, "x1": 0, "x2": -2}
    options: dict[str, dict[str, Any]] = {
        "sentiment-en": {"runs": 20},
        "resnet20-cifar10": {"runs": 20, "target": "ship"},
        "translate-en-zh": {"runs": 8},
        "answers": {"runs": 8},
        "masks": {"runs": 8, "target": text},
        "ranks": {"runs": 8, "target": "1"},
        "ner-zh": {"runs": 8},
        "pictures": {"runs": 8},
        "table": {"runs": 8, "reference": [row, {**row, "x1": 3}]},
    }
    bases += [
        _post(
            "native", f"/models/{model}/explain", {**document, "parameters": explain | document.get("parameters", {})}
        )
        for model, document in documents
        if (explain := {"explain": options.get(model)})["explain"]
    ]
    labels = {"candidate_labels": [text, "good"], "hypothesis_template": f"it is {{}} {text}"}
    tasks: list[tuple[str, str, Any]] = [
        ("zero-shot-classification", "entails", {"inputs": text, "parameters": labels}),
        ("sentence-similarity", "embeddings-en", {"inputs": {"source_sentence": text, "sentences": ["a", text]}}),
        ("feature-extraction", "embeddings-en", {"inputs": text}),
        ("object-tracking", "squares", film),
        ("image-feature-extraction", "pictures", picture),
        ("text2text-generation", "summarizes", {"inputs": text, "parameters": {"max_new_tokens": 3}}),
    ]
    bases += [_post("native", f"/pipeline/{task}/{model}", body) for task, model, body in tasks]
    binary = (
        *((model, picture) for model in ("resnet20-cifar10", "squares", "segments")),
        *((model, sound) for model in ("deepspeech-digits", "hears")),
    )
    bases += [_post("native", f"/models/{model}", data) for model, data in binary]
    feedback = {"request_id": "a-1", "label": "positive", "prediction": "negative"}
    bases += [
        _post("native", "/models/sentiment-en/feedback", document)
        for document in (feedback, {**feedback, "label": text, "prediction": text}, {"request_id": "a-2", "rating": 4})
    ]
    return [*bases, Base("native", "GET", "/models"), Base("native", "GET", f"/models/{name}")]


def _openai(text: str, name: str) -> list[Base]:
    chat = [{"role": "system", "content": text}, {"role": "user", "content": [{"type": "text", "text": text}]}]
    short: dict[str, Any] = {"model": "gpt-shakespeare", "max_tokens": 3}
    transcription = form(
        {"model": "deepspeech-digits", "response_format": "verbose_json"}, f"{text}.wav", media.sound("wav", text)
    )
    return [
        _post("openai", "/v1/completions", {**short, "prompt": text, "stop": [text], "user": text}),
        _post("openai", "/v1/completions", {**short, "prompt": [text, text], "stream": True}),
        _post("openai", "/v1/chat/completions", {**short, "messages": chat}),
        _post("openai", "/v1/responses", {"model": "gpt-shakespeare", "input": text, "max_output_tokens": 3}),
        _post("openai", "/v1/responses", {"model": "gpt-shakespeare", "input": chat, "stream": True}),
        _post(
            "openai", "/v1/chat/completions", {**short, "messages": chat, "response_format": {"type": "json_object"}}
        ),
        _post("openai", "/v1/embeddings", {"model": "embeddings-en", "input": [text], "user": text}),
        Base(
            "openai",
            "POST",
            "/v1/audio/transcriptions",
            transcription,
            {"content-type": "multipart/form-data; boundary=XbX"},
        ),
        Base("openai", "GET", f"/v1/models/{name}"),
    ]


def _oip(text: str, name: str) -> list[Base]:
    texts = {"name": "text", "shape": [1], "datatype": "BYTES", "data": [text]}
    ids = {"name": "input_ids", "shape": [1, 3], "datatype": "INT64", "data": [1, 2, 3]}
    mask = {"name": "attention_mask", "shape": [1, 3], "datatype": "INT64", "data": [1, 1, 1]}
    numbers = {"shape": [1, 3], "datatype": "FP32", "data": [1.5, 0, -2]}
    columns = [{**numbers, "name": f"x{column}", "shape": [3]} for column in range(3)]
    header = b'{"inputs":[{"name":"text","shape":[1],"datatype":"BYTES","parameters":{"binary_data_size":%d}}]}'
    element = len(text.encode()).to_bytes(4, "little") + text.encode()
    binary = header % len(element)
    size = {"inference-header-content-length": str(len(binary))}
    short = {"max_tokens": 3}
    stops = {**short, "stop": f'["{text[:16]}"]'}
    return [
        _post("oip", "/v2/models/sentiment-en/infer", {"id": text, "inputs": [texts], "parameters": {"top_k": 1}}),
        _post("oip", "/v2/models/sentiment-en-raw/infer", {"inputs": [ids, mask], "outputs": [{"name": "logits"}]}),
        Base("oip", "POST", "/v2/models/sentiment-en/infer", binary + element, size),
        _post(
            "oip",
            "/v2/models/gpt-shakespeare/generate",
            {"text_input": text, "parameters": stops},
        ),
        _post("oip", "/v2/models/gpt-shakespeare/generate_stream", {"text_input": text, "parameters": short}),
        _post("oip", "/v2/models/sentiment-en/explain", {"inputs": [texts]}),
        _post("oip", "/v2/models/tensors/infer", {"inputs": [{**numbers, "name": "x"}]}),
        _post("oip", "/v2/models/table/infer", {"inputs": columns}),
        _post("oip", "/v2/repository/index", {"ready": True}),
        _post("oip", "/v2/repository/models/sentiment-en/load", {"parameters": {"config": text}}),
        Base("oip", "GET", "/v2/models/stats"),
    ]


def _rerank(text: str, name: str) -> list[Base]:
    texts = {"query": text, "texts": [f"good {text}", "bad"], "truncate": True}
    documents = {"model": "ranks", "query": text, "documents": [{"text": text}, "bad"], "top_n": 1}
    return [_post("rerank", "/models/ranks/rerank", texts), _post("rerank", "/v1/rerank", documents)]


def _sagemaker(text: str, name: str) -> list[Base]:
    target = {"X_Amzn_SageMaker_Target_Model": "sentiment-en", "X_Amzn_SageMaker_Custom_Attributes": text[:16]}
    return [
        _post("sagemaker", "/endpoints/sentiment-en/invocations", {"inputs": text}),
        _post("sagemaker", "/invocations", {"inputs": text}, **target),
        _post("sagemaker", "/endpoints/resnet20-cifar10/invocations", media.picture("png", text)),
    ]


def _uploads(text: str, name: str) -> list[Base]:
    upload_request = {"model": "sentiment-en", "content_type": "text/plain", "size": 20}
    return [
        _post("uploads", "/uploads", upload_request),
        _post("uploads", "/uploads", {**upload_request, "content_type": f"text/{text}"}),
        _post("uploads", "/models/sentiment-en", {"inputs": {"upload": f"u{'0' * 32}.{name}"}}),
        Base("uploads", "GET", f"/results/u{'1' * 32}.sentiment-en"),
        Base("uploads", "DELETE", f"/results/u{'2' * 32}.sentiment-en"),
        Base("uploads", "GET", f"/results/{name}"),
    ]


BUILDERS: tuple[Callable[[str, str], list[Base]], ...] = (_native, _openai, _oip, _rerank, _sagemaker, _uploads)


def bases(text: str, name: str) -> list[Base]:
    """Requests of every protocol, with `text` wherever a client sends text, and `name` where it names a model."""
    return [base for build in BUILDERS for base in build(text, name)]
