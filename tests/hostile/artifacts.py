"""Signed artifacts, modified in many ways: none may be served, and none parsed.

`python -m tests.hostile.artifacts [COUNT]` writes the section of docs/testing/results.md; test_signature.py runs fewer.
"""

from __future__ import annotations

import base64
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

import msgspec
import onnxruntime
import tokenizers

from hearth.aws import retry
from hearth.errors import HearthError
from hearth.models import registry as registries
from hearth.models import signature
from hearth.models.cache import Cache
from hearth.models.disk_cache import DiskCache
from hearth.models.manifest import SIGNATURE, parse
from hearth.models.registry import Registry
from hearth.storage.open import open_store
from hearth_build.release.signing import LocalKey, digests_of, sign
from tests.support.artifacts import make_image_artifact, make_text_artifact
from tests.support.record import record
from tests.support.signed import EARLY, EXPIRED, STRANGE, key, make_keys, sign_folder

SEED = 20261125
MODEL, OTHER_MODEL = "sentiment-en", "resnet20-cifar10"
TARGET, PREVIOUS = f"{MODEL}/2", f"{MODEL}/1"
DOCUMENTS = ("manifest.json", SIGNATURE)
Changes = dict[str, bytes | None]
"""New bytes by path in the store; None deletes the file."""


@dataclass(frozen=True)
class Case:
    """An attack."""

    kind: str
    changes: Changes


@dataclass
class ParserCalls:
    """Inputs of the parsers."""

    manifests: list[bytes] = field(default_factory=list)
    others: list[str] = field(default_factory=list)


@dataclass
class Outcome:
    refused: Counter[str] = field(default_factory=Counter)
    """Number of refusals by kind of attack."""
    errors: Counter[str] = field(default_factory=Counter)
    """Number of refusals by the error that the caller got."""
    wrong: list[str] = field(default_factory=list)
    """Attacks that were served, or that reached a parser."""
    served_unsigned: int = 0
    """Number of attacks that are served if no keys are configured."""


class SignedStore:
    """A store of three signed artifacts; the attacks modify the second version of MODEL."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "store"
        self.cache = folder / "cache"
        self.trust = make_keys(folder / "keys", {MODEL: 2})
        for artifact in (
            make_text_artifact(self.folder, MODEL, "1"),
            make_text_artifact(self.folder, MODEL, "2", filler=5000),
            make_image_artifact(self.folder, OTHER_MODEL, "1"),
        ):
            sign_folder(artifact, key(self.trust))
        self.files = {
            path.relative_to(self.folder).as_posix(): path.read_bytes()
            for path in sorted(self.folder.rglob("*"))
            if path.is_file()
        }

    def serve(self, *, verified: bool = True) -> None:
        """Load the model behind the alias, as a cold process does. Raises the same errors."""
        trust = signature.read(self.trust) if verified else None
        registry = Registry(open_store(self.folder.as_uri()), trust=trust)
        cache = Cache(registry, DiskCache(self.cache, 2**30), 2**30, threads=1, fetch_seconds=20)
        with cache.get(MODEL):
            pass

    @contextmanager
    def modified(self, changes: Changes) -> Iterator[None]:
        for path, data in changes.items():
            self._write(path, data)
        yield
        for path in changes:
            self._write(path, self.files.get(path))

    def _write(self, path: str, data: bytes | None) -> None:
        file = self.folder / path
        if data is None:
            file.unlink(missing_ok=True)
        else:
            file.write_bytes(data)


@contextmanager
def watch_parsers() -> Iterator[ParserCalls]:
    """Record the calls of everything that parses bytes of an artifact."""
    parser_calls = ParserCalls()

    def record_manifest(raw: bytes) -> Any:
        parser_calls.manifests.append(raw)
        return parse(raw)

    def record_call(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def recorded(*arguments: Any, **keyword_arguments: Any) -> Any:
            parser_calls.others.append(name)
            return real(*arguments, **keyword_arguments)

        return recorded

    with ExitStack() as stack:
        stack.enter_context(patch.object(registries, "parse", record_manifest))
        session = record_call("onnxruntime", onnxruntime.InferenceSession)
        stack.enter_context(patch.object(onnxruntime, "InferenceSession", session))
        reader = record_call("tokenizers", tokenizers.Tokenizer.from_file)
        stack.enter_context(patch.object(tokenizers, "Tokenizer", type("Watched", (), {"from_file": reader})))
        yield parser_calls


def run(count: int, seed: int, folder: Path, *, control: bool = False) -> Outcome:
    """Run at least `count` attacks. `control`: also try each without keys, to show what the signature prevents."""
    store = SignedStore(folder)
    outcome = Outcome()
    with patch.object(retry, "ATTEMPTS", 1), watch_parsers() as parser_calls:
        store.serve()
        assert parser_calls.manifests == [store.files[f"{TARGET}/manifest.json"]], (
            "the unmodified artifact must be served"
        )
        assert parser_calls.others == ["onnxruntime", "tokenizers"], "the parser calls must be recorded"
        for case in cases(store, count, Random(seed)):
            with store.modified(case.changes):
                attempt(store, case, parser_calls, outcome)
                if control:
                    outcome.served_unsigned += is_served_unsigned(store)
    return outcome


def attempt(store: SignedStore, case: Case, parser_calls: ParserCalls, outcome: Outcome) -> None:
    parser_calls.manifests.clear()
    parser_calls.others.clear()
    for folder in store.cache.iterdir():
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
    try:
        store.serve()
    except HearthError as error:
        outcome.errors[type(error).__name__] += 1
        outcome.refused[case.kind] += 1
    else:
        outcome.wrong.append(f"{case.kind}: served")
    # A changed file shows only against the manifest, so the original manifest may be parsed, but nothing else.
    allowed = [store.files[f"{TARGET}/manifest.json"]] if case.kind.startswith("file") else []
    if parser_calls.others or any(raw not in allowed for raw in parser_calls.manifests) or any(store.cache.iterdir()):
        outcome.wrong.append(
            f"{case.kind}: parsed {parser_calls.others or 'a manifest'}, or left something in the cache"
        )


def is_served_unsigned(store: SignedStore) -> bool:
    try:
        store.serve(verified=False)
    except HearthError:
        return False
    return True


def cases(store: SignedStore, count: int, random: Random) -> Iterator[Case]:
    """Each named attack once, then random ones up to `count`."""
    generated = 0
    for case in named_attacks(store):
        generated += 1
        yield case
    target = {path: data for path, data in store.files.items() if path.startswith(f"{TARGET}/")}
    while generated < count:
        path = random.choice(sorted(target))
        name = path.rpartition("/")[2]
        kind, data = mutate(target[path], random)
        if name == SIGNATURE and random.random() < 0.5:
            kind, data = mutate_signature(target[path], random)
        if data == target[path] or (name == SIGNATURE and same_bundle(data, target[path])):
            continue  # different whitespace in the bundle changes nothing
        generated += 1
        yield Case(f"{'file ' if name not in DOCUMENTS else ''}{name}: {kind}", {path: data})


def mutate(data: bytes, random: Random) -> tuple[str, bytes]:
    """One small or large change."""
    start = random.randrange(len(data))
    end = min(len(data), start + random.randrange(1, 200))
    changed = bytearray(data)
    kind = random.choice(("bit", "byte", "insert", "delete", "cut", "append", "zero", "repeat", "swap"))
    if kind == "bit":
        changed[start] ^= 1 << random.randrange(8)
    elif kind == "byte":
        changed[start] = random.randrange(256)
    elif kind == "insert":
        changed[start:start] = random.randbytes(random.randrange(1, 40))
    elif kind == "delete":
        del changed[start:end]
    elif kind == "cut":
        del changed[start:]
    elif kind == "append":
        changed += random.randbytes(random.randrange(1, 40))
    elif kind == "zero":
        changed[start:end] = bytes(end - start)
    elif kind == "repeat":
        changed[start:start] = changed[start:end]
    else:
        middle = (start + end) // 2
        changed[start:end] = changed[middle:end] + changed[start:middle]
    return kind, bytes(changed)


def mutate_signature(raw: bytes, random: Random) -> tuple[str, bytes]:
    """Mutate a base64 field of the bundle and encode it again."""
    bundle = json.loads(raw)
    envelope = bundle["dsseEnvelope"]
    container, name = random.choice(((envelope, "payload"), (envelope["signatures"][0], "sig")))
    kind, changed = mutate(base64.b64decode(container[name]), random)
    container[name] = base64.b64encode(changed).decode()
    return f"{name} {kind}", json.dumps(bundle).encode()


def same_bundle(first: bytes, second: bytes) -> bool:
    try:
        decoded = [msgspec.json.decode(raw, type=signature.Bundle) for raw in (first, second)]
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return decoded[0] == decoded[1]


def named_attacks(store: SignedStore) -> Iterator[Case]:
    """Attacks with a specific idea."""
    files = store.files
    manifest_path, signature_path = f"{TARGET}/manifest.json", f"{TARGET}/{SIGNATURE}"
    raw = files[manifest_path]
    digests = digests_of(parse(raw), raw)
    ref = TARGET.replace("/", "@")

    def key_named(name: str) -> LocalKey:
        return key(store.trust, name)

    yield Case("no signature", {signature_path: None})
    yield Case("no manifest", {manifest_path: None})
    yield Case("empty signature", {signature_path: b""})
    yield Case("a signature of 5 MB", {signature_path: files[signature_path] + b" " * 5_000_000})
    yield Case("deep JSON as signature", {signature_path: b"[" * 100_000})
    for name in (STRANGE, EXPIRED, EARLY):
        yield Case(f"signed with the {name} key", {signature_path: sign(key_named(name), ref, digests)})
    yield Case(
        "the strange key under the trusted one's hint",
        {signature_path: _with_hint(sign(key_named(STRANGE), ref, digests), files[signature_path])},
    )
    yield Case("the previous version's signature", {signature_path: files[f"{PREVIOUS}/{SIGNATURE}"]})
    yield Case("the previous version in place of the new one", _move(files, PREVIOUS, TARGET))
    yield Case("another model in place of this one", _move(files, f"{OTHER_MODEL}/1", TARGET))
    yield Case("another model's signature", {signature_path: files[f"{OTHER_MODEL}/1/{SIGNATURE}"]})
    alias = json.dumps({"prod": {"version": "1"}}).encode()
    yield Case("an alias below the minimum version", {f"{MODEL}/aliases.json": alias})
    yield Case("the same manifest, formatted differently", {manifest_path: json.dumps(json.loads(raw)).encode()})
    yield Case("a manifest of another file", {manifest_path: raw.replace(b'"model.bin"', b'"model_.bin"')})
    yield Case("a manifest with an additional file", {manifest_path: _with_file(raw), f"{TARGET}/more.bin": b"x"})
    yield Case("a manifest with one file missing", {manifest_path: _without_file(raw)})
    yield Case("file model.bin: the previous version's", {f"{TARGET}/model.bin": files[f"{PREVIOUS}/model.bin"]})
    for name in ("model.onnx", "model.bin", "tokenizer.json"):
        yield Case(f"file {name}: gone", {f"{TARGET}/{name}": None})
        yield Case(f"file {name}: empty", {f"{TARGET}/{name}": b""})
    yield Case("file model.onnx: another model's", {f"{TARGET}/model.onnx": files[f"{OTHER_MODEL}/1/model.onnx"]})
    yield Case("file model.onnx: a pickle", {f"{TARGET}/model.onnx": b"\x80\x04K\x01."})
    for kind, change in BUNDLE_CHANGES.items():
        bundle = json.loads(files[signature_path])
        change(bundle)
        yield Case(f"bundle: {kind}", {signature_path: json.dumps(bundle).encode()})


def _move(files: Mapping[str, bytes], source: str, target: str) -> Changes:
    deleted: Changes = {path: None for path in files if path.startswith(f"{target}/")}
    return deleted | {
        path.replace(source, target): data for path, data in files.items() if path.startswith(f"{source}/")
    }


def _with_hint(bundle: bytes, source: bytes) -> bytes:
    changed = json.loads(bundle)
    changed["verificationMaterial"] = json.loads(source)["verificationMaterial"]
    return json.dumps(changed).encode()


def _with_file(raw: bytes) -> bytes:
    document = json.loads(raw)
    digest = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"  # of "x"
    document["files"].append({"path": "more.bin", "size": 1, "sha256": digest})
    return json.dumps(document).encode()


def _without_file(raw: bytes) -> bytes:
    document = json.loads(raw)
    document["files"] = [file for file in document["files"] if file["path"] != "model.bin"]
    return json.dumps(document).encode()


def _set_field(*path: str | int) -> Callable[[Any], Callable[[Any], None]]:
    def with_value(value: Any) -> Callable[[Any], None]:
        def change(bundle: Any) -> None:
            for step in path[:-1]:
                bundle = bundle[step]
            bundle[path[-1]] = value(bundle[path[-1]]) if callable(value) else value

        return change

    return with_value


_SIGNATURES = ("dsseEnvelope", "signatures")
_SIG = (*_SIGNATURES, 0, "sig")


def _change_der(change: Callable[[bytes], bytes]) -> Callable[[str], str]:
    return lambda text: base64.b64encode(change(base64.b64decode(text))).decode()


BUNDLE_CHANGES: dict[str, Callable[[Any], None]] = {
    "two signatures": _set_field(*_SIGNATURES)(lambda signatures: signatures * 2),
    "no signatures": _set_field(*_SIGNATURES)([]),
    "another payload type": _set_field("dsseEnvelope", "payloadType")("text/plain"),
    "another media type": _set_field("mediaType")("application/vnd.dev.sigstore.bundle.v0.2+json"),
    "a key id": _set_field(*_SIGNATURES, 0, "keyid")("key"),
    "a certificate": _set_field("verificationMaterial")({"certificate": {"rawBytes": "AA=="}}),
    "no hint": _set_field("verificationMaterial", "publicKey")({}),
    "a log entry": _set_field("verificationMaterial", "tlogEntries")([{"logIndex": "1"}]),
    "an additional field": _set_field("dsseEnvelope")(lambda envelope: envelope | {"more": 1}),
    "base64 with a line break": _set_field("dsseEnvelope", "payload")(lambda text: text[:8] + "\n" + text[8:]),
    "base64 without padding": _set_field(*_SIG)(lambda text: text.rstrip("=")[:-1]),
    "base64 of the URL alphabet": _set_field(*_SIG)("-_" * 36),
    "an empty signature": _set_field(*_SIG)(""),
    "r and s of zero": _set_field(*_SIG)(base64.b64encode(bytes.fromhex("3006020100020100")).decode()),
    "r and s of one": _set_field(*_SIG)(base64.b64encode(bytes.fromhex("3006020101020101")).decode()),
    "DER with an additional byte": _set_field(*_SIG)(_change_der(lambda der: der + b"\0")),
    "DER in the long form": _set_field(*_SIG)(_change_der(lambda der: b"\x30\x81" + der[1:])),
    "two raw numbers": _set_field(*_SIG)(_change_der(lambda der: bytes(64))),
}


def main(count: int = 3000) -> None:
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        outcome = run(count, SEED, Path(folder), control=True)
    total = sum(outcome.refused.values())
    seconds = time.perf_counter() - started
    assert not outcome.wrong, outcome.wrong
    errors = ", ".join(f"{name} {number}" for name, number in outcome.errors.most_common())
    rows = Counter[str]()
    for kind, number in outcome.refused.items():
        rows[kind.partition(":")[0] if ":" in kind else "named attacks"] += number
    table = "\n".join(f"| {kind} | {number} |" for kind, number in rows.most_common())
    summary = (
        f"{total:,} changed copies of a signed artifact through store, registry and cache: all {total:,} were refused "
        f"({errors}), in {seconds:.0f} s. ONNX Runtime and the tokenizer reader were never reached, the manifest's "
        "parser only by the signed manifest, and nothing stayed in the cache. "
        f"Without keys, {outcome.served_unsigned} of the same copies are served."
    )
    command = f"python -m tests.hostile.artifacts {count}"
    record("Mutated artifacts", command, f"{summary}\n\n| what was changed | refused |\n|---|---|\n{table}", seed=SEED)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
