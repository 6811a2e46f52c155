"""Fuzz targets: each takes bytes and must raise only what its callers expect."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from hearth import settings, strict_json
from hearth.async_inference import uploads
from hearth.async_inference.batch import BatchFailedError
from hearth.async_inference.storage_events import EventFailedError
from hearth.auth import api_keys
from hearth.aws_lambda.handler import Handler
from hearth.errors import HearthError
from hearth.models import ecdsa_p256, manifest, signature
from hearth.models.cache import warm_cache
from hearth.models.manifest import Limits
from hearth.models.registry import Registry
from hearth.ops.audio import ngram_lm
from hearth.ops.text.windows import list_texts, tokenize_whole, windows
from hearth.ops.vision import images
from hearth.ops.vision.mp4_index import has_plausible_index
from hearth.protocols import sagemaker
from hearth.protocols.base import Request
from hearth.protocols.open_inference.request import parse, split_body
from hearth.protocols.open_inference.schema import HEADER_LENGTH, TensorMetadata
from hearth.protocols.openai import common, embeddings, schema, transcriptions
from hearth.protocols.openai.completions import list_prompts
from hearth.protocols.openai.sampling import task_parameters
from hearth.tasks import audio_file, video_file
from hearth.tasks.payload import read_body, read_object
from hearth_build.cli.serve import tasks
from hearth_functions.image_classification import app as image_classification
from hearth_functions.text_classification import app as texts
from tests.fuzz import seeds
from tests.support.requests import rest_event

TASKS = tasks()
HANDLER = Handler(texts.TASKS + image_classification.TASKS)
SPECS = (TensorMetadata("text", "BYTES", (-1,)), TensorMetadata("numbers", "FP32", (-1, 2)))
REF = ("sentiment-en", "1")


def make_tokenizer() -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece({"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "a": 3, "##b": 4}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.BertNormalizer()])
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    return tokenizer


TOKENIZER = make_tokenizer()


def json_text(data: bytes) -> None:
    document = strict_json.loads(data)
    json.dumps(document, allow_nan=False).encode()
    strict_json.convert(document, texts.ZeroShotRequest)


def oip_request(data: bytes) -> None:
    size, body = int.from_bytes(data[:2], "big"), data[2:]
    for headers in ({}, {HEADER_LENGTH: str(size)}, {HEADER_LENGTH: data[:2].decode("latin-1")}):
        for specs in (SPECS, SPECS[1:]):
            with contextlib.suppress(HearthError):
                parse(split_body(body, headers), specs, ("scores",))


def openai_requests(data: bytes) -> None:
    request = Request((), data)
    with contextlib.suppress(HearthError):
        completion = common.read(request, schema.CompletionRequest, schema.REFUSED_IN_COMPLETIONS)
        list_prompts(completion.prompt)
        task_parameters(completion, 1, None)
    with contextlib.suppress(HearthError):
        common.read(request, schema.ChatCompletionRequest, schema.REFUSED_IN_CHAT)
    common.read(request, embeddings.EmbeddingRequest, {})


def multipart(data: bytes) -> None:
    for kind in ("multipart/form-data; boundary=b", "multipart/form-data; boundary=" + data[:9].decode("latin-1")):
        with contextlib.suppress(HearthError):
            transcriptions.parse_form(Request((), data, headers={"content-type": kind}))


def native_requests(data: bytes) -> None:
    """Every task's request from a body, a query string and a stored object."""
    for task in TASKS:
        with contextlib.suppress(HearthError):
            read_body(task, data, {"top_k": data[:8].decode("latin-1")} if task.row.binary else {})
        with contextlib.suppress(HearthError):
            read_object(task, data)
    uploads.upload_reference(data)


def sagemaker_call(data: bytes) -> None:
    line, _, body = data.partition(b"\n")
    name, _, variant = line.decode("latin-1").partition(" ")
    headers = {sagemaker.TARGET_MODEL: name} if name else {}
    headers |= {sagemaker.TARGET_VARIANT: variant} if variant else {}
    sagemaker.invoke_endpoint(Request(texts.TASKS, body, {"name": REF[0]}, {}, headers))


def sounds(data: bytes) -> None:
    audio_file.read_audio(data, 16_000, 5)


def open_pictures(data: bytes) -> None:
    images.open_image(data, 100_000)


def films(data: bytes) -> None:
    has_plausible_index(data)
    for _ in video_file.Video(data, video_file.Bounds(20, 100_000, 60)).frames():
        pass


def manifests(data: bytes) -> None:
    manifest.dump(manifest.parse(data))


def aliases(data: bytes) -> None:
    store: Any = SimpleNamespace(get=lambda path, limit=None: data, list=lambda prefix="": iter(()))
    Registry(store, (), 60).resolve("a@prod")


def signatures(data: bytes) -> None:
    with contextlib.suppress(HearthError):
        signature.Trust({"0" * 64: signature.Key("k", ecdsa_p256.G, signature.Window())}, {}).check(data, *REF, b"{}")
    with contextlib.suppress(HearthError):
        signature._parse_statement(data, "key", "a@1")
    with contextlib.suppress(ValueError):
        signature.parse_public_key(data)
    with contextlib.suppress(ValueError):
        ecdsa_p256.public_key(data)
    ecdsa_p256.verify(ecdsa_p256.G, b"message", data)


def environment(data: bytes) -> None:
    pairs = (entry.decode("utf-8", "surrogateescape").partition("=") for entry in data.split(b"\0"))
    settings.read({name: value for name, _, value in pairs})


def key_table(data: bytes) -> None:
    api_keys._read_table.__wrapped__("[" + data.decode("utf-8", "surrogateescape")).find("key")


def token_helpers(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    for line in list_texts(text.split("\n"), Limits(batch=8, characters=4096)):
        row = tokenize_whole(TOKENIZER, line)
        assert len(windows(TOKENIZER, row, 16, len(data) % 7)) <= 2048
    parameters = texts.ZeroShotParameters(candidate_labels=text)
    texts.candidate_labels(texts.ZeroShotRequest(text, parameters))


def language_models(data: bytes) -> None:
    ngram_lm.read.__wrapped__(data, ("-", "a", " "), 1.0, 0.0)


def events(data: bytes) -> None:
    """Send the bytes as the body of a queue message and, if they are JSON, as the event itself."""
    message = {"eventSource": "aws:sqs", "messageId": "1", "body": data.decode("utf-8", "replace")}
    events_to_send: list[Any] = [{"Records": [message]}]
    with contextlib.suppress(ValueError, RecursionError):
        events_to_send.append(json.loads(data))
    for event in events_to_send:
        with contextlib.suppress(EventFailedError, BatchFailedError):
            json.dumps(HANDLER(event, None))


def requests(data: bytes) -> None:
    """Send an HTTP event with path, header and body, as text and as base64."""
    path, _, remainder = data.partition(b"\n")
    header, _, body = remainder.partition(b"\n")
    headers = {"content-type": "application/json", "content-encoding": header.decode("latin-1")}
    for encoded in (body, body.decode("utf-8", "replace")):
        event = rest_event("POST", "/" + path.decode("utf-8", "replace"), encoded, headers if header else {})
        if isinstance(encoded, str):
            event["isBase64Encoded"] = len(body) % 2 == 1
        response = HANDLER(event, None)
        assert response["statusCode"] < 500, response


def control(data: bytes) -> None:
    """A target that crashes, to show that crashes are detected."""
    if b"b" in data:
        1 / 0  # noqa: B018


@dataclass(frozen=True)
class Target:
    run: Callable[[bytes], None]
    seeds: Callable[[], list[bytes]]
    max_bytes: int = 4096
    """Maximum size of an input."""


SETTINGS = b"HEARTH_STORE=s3://b/p\0HEARTH_MODELS=a@1,b\0HEARTH_MAX_BODY_MB=4.5\0HEARTH_AUDIT=log\0HEARTH_STREAM=rest"
ARPA = b"\\data\\\nngram 1=2\n\n\\1-grams:\n-1.0 a -0.5\n-1.0 </s>\n\n\\2-grams:\n-1 a a\n\\end\\\n"
KEYS = b'{"name": "a", "sha256": "' + b"0" * 64 + b'", "models": ["*"], "rate": 1.5, "burst": 2}]'
STATEMENT = {
    "_type": "https://in-toto.io/Statement/v1",
    "subject": [{"name": "a@1", "digest": {"sha256": "0" * 64}}],
    "predicateType": "https://model_signing/signature/v1.0",
    "predicate": {
        "serialization": {"method": "files", "hash_type": "sha256"},
        "resources": [{"name": "manifest.json", "digest": "0" * 64, "algorithm": "sha256"}],
    },
}
BUNDLE = {
    "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
    "verificationMaterial": {"publicKey": {"hint": "0" * 64}, "tlogEntries": []},
    "dsseEnvelope": {
        "payload": "e30=",
        "payloadType": "application/vnd.in-toto+json",
        "signatures": [{"sig": "MAYCAQECAQE=", "keyid": ""}],
    },
}
CHAT = {"model": "m", "messages": [{"role": "user", "content": "hello"}], "temperature": 0.5, "stop": ["a"]}
COMPLETION = {"model": "m", "prompt": ["a", [1, 2]], "max_tokens": 4, "logit_bias": {"1": -5}, "stream": True}
UPLOADED = b'{"inputs":{"upload":"u"}}'
GOOD = b'{"inputs": "good", "parameters": {"top_k": 1}}'


REQUESTS = (
    b"models/sentiment-en\n\n" + GOOD,
    b"v2/models/sentiment-en/infer\n\n" + seeds.oip()[0][2:],
    b"models/a%2fb@x\ngzip\n\x1f\x8b\x08",
)


def stored() -> bytes:
    """The manifest of the served model."""
    return warm_cache().registry.store.get(f"{REF[0]}/{REF[1]}/manifest.json")


TARGETS = {
    "json": Target(json_text, lambda: seeds.examples(TASKS)),
    "oip": Target(oip_request, seeds.oip),
    "openai": Target(openai_requests, lambda: seeds.documents(CHAT, COMPLETION, {"model": "m", "input": ["a"]})),
    "multipart": Target(multipart, seeds.multipart),
    "native": Target(
        native_requests, lambda: [*seeds.examples(TASKS), *seeds.pictures()[:1], b'{"inputs":{"upload":"u"}}']
    ),
    "sagemaker": Target(sagemaker_call, lambda: [b"sentiment-en 1\n" + GOOD, b"\n" + GOOD, b"x prod\n{}"]),
    "sound": Target(sounds, seeds.sounds, 8192),
    "pictures": Target(open_pictures, seeds.pictures),
    "video": Target(films, seeds.films, 8192),
    "manifest": Target(manifests, lambda: [stored()]),
    "aliases": Target(aliases, lambda: seeds.documents({"prod": {"version": "1"}, "canary": {"version": "2"}})),
    "signature": Target(signatures, lambda: seeds.documents(STATEMENT, BUNDLE)),
    "settings": Target(environment, lambda: [SETTINGS]),
    "api-keys": Target(key_table, lambda: [KEYS]),
    "tokens": Target(token_helpers, lambda: ["a ab, \ufdfa\n我\u202e\u0301\n".encode(), b"a b " * 40]),
    "ngrams": Target(language_models, lambda: [ARPA]),
    "events": Target(events, seeds.events),
    "requests": Target(requests, lambda: [*REQUESTS, *seeds.encoded()]),
}
CONTROL = {"control": Target(control, lambda: [b"a"])}
