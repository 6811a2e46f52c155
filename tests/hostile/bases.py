"""Requests of every dialect that are right, for others to make wrong."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.hostile import media


@dataclass(frozen=True)
class Base:
    dialect: str
    method: str
    path: str
    body: Any = None
    """A JSON document, or bytes."""
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)


def _post(dialect: str, path: str, body: Any, **headers: str) -> Base:
    kind = "application/octet-stream" if isinstance(body, bytes) else "application/json"
    return Base(
        dialect, "POST", path, body, {"content-type": kind} | {k.replace("_", "-"): headers[k] for k in headers}
    )


def form(fields: Mapping[str, str], name: str, data: bytes, boundary: str = "XbX") -> bytes:
    """A multipart body with the `fields` and the file `data`, called `name`."""
    parts = [f'--{boundary}\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n' for k, v in fields.items()]
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
    return "".join([*parts, head]).encode() + data + f"\r\n--{boundary}--\r\n".encode()


def _native(word: str, name: str) -> list[Base]:
    picture, sound, film = media.picture("jpeg", word), media.sound("wav", word), media.film(word)
    encoded = base64.b64encode(picture).decode()
    pair = {"question": f"who is {word}", "context": f"anna works for {word} in oslo"}
    few = {"max_new_tokens": 3}
    documents: list[tuple[str, Any]] = [
        ("sentiment-en", {"inputs": f"a good film {word}", "parameters": {"top_k": 1}}),
        ("sentiment-en", {"inputs": [word, f"bad {word}"]}),
        ("entails", {"inputs": f"good {word}"}),
        ("masks", {"inputs": f"the [MASK] {word}", "parameters": {"targets": [word]}}),
        ("answers", {"inputs": pair, "parameters": {"top_k": 2}}),
        ("ner-zh", {"inputs": f"我在北京 {word}", "parameters": {"ignore_labels": [word]}}),
        ("embeddings-en", {"inputs": [f"good {word}"], "parameters": {"normalize": True}}),
        ("translate-en-zh", {"inputs": word[:8], "parameters": {"src_lang": "en", "tgt_lang": "zh"}}),
        ("gpt-shakespeare", {"inputs": word, "parameters": {**few, "stop": [word]}}),
        ("gpt-shakespeare", {"inputs": word, "parameters": {**few, "details": True}, "stream": True}),
        ("resnet20-cifar10", {"inputs": encoded, "parameters": {"top_k": 1}}),
        ("squares", {"inputs": encoded, "parameters": {"threshold": 0.5}}),
    ]
    bases = [_post("native", f"/models/{model}", document) for model, document in documents]
    labels = {"candidate_labels": [word, "good"], "hypothesis_template": f"it is {{}} {word}"}
    tasks: list[tuple[str, str, Any]] = [
        ("zero-shot-classification", "entails", {"inputs": word, "parameters": labels}),
        ("sentence-similarity", "embeddings-en", {"inputs": {"source_sentence": word, "sentences": ["a", word]}}),
        ("feature-extraction", "embeddings-en", {"inputs": word}),
        ("object-tracking", "squares", film),
    ]
    bases += [_post("native", f"/pipeline/{task}/{model}", body) for task, model, body in tasks]
    raw = (("resnet20-cifar10", picture), ("squares", picture), ("deepspeech-digits", sound))
    bases += [_post("native", f"/models/{model}", data) for model, data in raw]
    return [*bases, Base("native", "GET", "/models"), Base("native", "GET", f"/models/{name}")]


def _openai(word: str, name: str) -> list[Base]:
    chat = [{"role": "system", "content": word}, {"role": "user", "content": [{"type": "text", "text": word}]}]
    few: dict[str, Any] = {"model": "gpt-shakespeare", "max_tokens": 3}
    heard = form(
        {"model": "deepspeech-digits", "response_format": "verbose_json"}, f"{word}.wav", media.sound("wav", word)
    )
    return [
        _post("openai", "/v1/completions", {**few, "prompt": word, "stop": [word], "user": word}),
        _post("openai", "/v1/completions", {**few, "prompt": [word, word], "stream": True}),
        _post("openai", "/v1/chat/completions", {**few, "messages": chat}),
        _post("openai", "/v1/embeddings", {"model": "embeddings-en", "input": [word], "user": word}),
        Base(
            "openai", "POST", "/v1/audio/transcriptions", heard, {"content-type": "multipart/form-data; boundary=XbX"}
        ),
        Base("openai", "GET", f"/v1/models/{name}"),
    ]


def _oip(word: str, name: str) -> list[Base]:
    texts = {"name": "text", "shape": [1], "datatype": "BYTES", "data": [word]}
    ids = {"name": "input_ids", "shape": [1, 3], "datatype": "INT64", "data": [1, 2, 3]}
    mask = {"name": "attention_mask", "shape": [1, 3], "datatype": "INT64", "data": [1, 1, 1]}
    header = b'{"inputs":[{"name":"text","shape":[1],"datatype":"BYTES","parameters":{"binary_data_size":%d}}]}'
    element = len(word.encode()).to_bytes(4, "little") + word.encode()
    binary = header % len(element)
    size = {"inference-header-content-length": str(len(binary))}
    few = {"max_tokens": 3}
    stops = {**few, "stop": f'["{word[:16]}"]'}
    return [
        _post("oip", "/v2/models/sentiment-en/infer", {"id": word, "inputs": [texts], "parameters": {"top_k": 1}}),
        _post("oip", "/v2/models/sentiment-en-raw/infer", {"inputs": [ids, mask], "outputs": [{"name": "logits"}]}),
        Base("oip", "POST", "/v2/models/sentiment-en/infer", binary + element, size),
        _post(
            "oip",
            "/v2/models/gpt-shakespeare/generate",
            {"text_input": word, "parameters": stops},
        ),
        _post("oip", "/v2/models/gpt-shakespeare/generate_stream", {"text_input": word, "parameters": few}),
        _post("oip", "/v2/repository/index", {"ready": True}),
        _post("oip", "/v2/repository/models/sentiment-en/load", {"parameters": {"config": word}}),
        Base("oip", "GET", "/v2/models/stats"),
    ]


def _sagemaker(word: str, name: str) -> list[Base]:
    target = {"X_Amzn_SageMaker_Target_Model": "sentiment-en", "X_Amzn_SageMaker_Custom_Attributes": word[:16]}
    return [
        _post("sagemaker", "/endpoints/sentiment-en/invocations", {"inputs": word}),
        _post("sagemaker", "/invocations", {"inputs": word}, **target),
        _post("sagemaker", "/endpoints/resnet20-cifar10/invocations", media.picture("png", word)),
    ]


def _uploads(word: str, name: str) -> list[Base]:
    wish = {"model": "sentiment-en", "content_type": "text/plain", "size": 20}
    return [
        _post("uploads", "/uploads", wish),
        _post("uploads", "/uploads", {**wish, "content_type": f"text/{word}"}),
        _post("uploads", "/models/sentiment-en", {"inputs": {"upload": f"u{'0' * 32}.{name}"}}),
        Base("uploads", "GET", f"/results/u{'1' * 32}.sentiment-en"),
        Base("uploads", "DELETE", f"/results/u{'2' * 32}.sentiment-en"),
        Base("uploads", "GET", f"/results/{name}"),
    ]


MAKERS: tuple[Callable[[str, str], list[Base]], ...] = (_native, _openai, _oip, _sagemaker, _uploads)


def bases(word: str, name: str) -> list[Base]:
    """Of every dialect, with `word` wherever a client may say something, and `name` where it names a model."""
    return [base for make in MAKERS for base in make(word, name)]
