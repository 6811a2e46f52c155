"""Signed artifacts, changed in every way that comes to mind: none may be served, and none parsed.

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
MODEL, OTHER = "sentiment-en", "resnet20-cifar10"
TARGET, OLD = f"{MODEL}/2", f"{MODEL}/1"
DOCUMENTS = ("manifest.json", SIGNATURE)
Changes = dict[str, bytes | None]
"""New bytes by path in the store; None: the file goes."""


@dataclass(frozen=True)
class Case:
    """One attack."""

    kind: str
    changes: Changes


@dataclass
class Seen:
    """What was handed to parsers."""

    manifests: list[bytes] = field(default_factory=list)
    others: list[str] = field(default_factory=list)


@dataclass
class Outcome:
    refused: Counter[str] = field(default_factory=Counter)
    """By kind of attack."""
    errors: Counter[str] = field(default_factory=Counter)
    """By the error that the caller got."""
    wrong: list[str] = field(default_factory=list)
    """Attacks that were served, or whose bytes came to a parser."""
    believed: int = 0
    """Attacks that are served where no keys are configured."""


class Field:
    """A store of three signed artifacts, whose second version of MODEL is attacked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "store"
        self.cache = folder / "cache"
        self.trust = make_keys(folder / "keys", {MODEL: 2})
        for artifact in (
            make_text_artifact(self.folder, MODEL, "1"),
            make_text_artifact(self.folder, MODEL, "2", filler=5000),
            make_image_artifact(self.folder, OTHER, "1"),
        ):
            sign_folder(artifact, key(self.trust))
        self.files = {
            path.relative_to(self.folder).as_posix(): path.read_bytes()
            for path in sorted(self.folder.rglob("*"))
            if path.is_file()
        }

    def serve(self, *, verified: bool = True) -> None:
        """Load what the alias means, as a cold process does. Raises what it does."""
        trust = signature.read(self.trust) if verified else None
        registry = Registry(open_store(self.folder.as_uri()), trust=trust)
        cache = Cache(registry, DiskCache(self.cache, 2**30), 2**30, threads=1, fetch_seconds=20)
        with cache.get(MODEL):
            pass

    @contextmanager
    def changed(self, changes: Changes) -> Iterator[None]:
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
def watched() -> Iterator[Seen]:
    """Everything that interprets bytes of an artifact tells here that it was reached."""
    seen = Seen()

    def parsed(raw: bytes) -> Any:
        seen.manifests.append(raw)
        return parse(raw)

    def noted(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def reached(*arguments: Any, **named: Any) -> Any:
            seen.others.append(name)
            return real(*arguments, **named)

        return reached

    with ExitStack() as stack:
        stack.enter_context(patch.object(registries, "parse", parsed))
        session = noted("onnxruntime", onnxruntime.InferenceSession)
        stack.enter_context(patch.object(onnxruntime, "InferenceSession", session))
        reader = noted("tokenizers", tokenizers.Tokenizer.from_file)
        stack.enter_context(patch.object(tokenizers, "Tokenizer", type("Watched", (), {"from_file": reader})))
        yield seen


def run(count: int, seed: int, folder: Path, *, control: bool = False) -> Outcome:
    """At least `count` attacks. `control`: also try each without keys, which shows what the signature is good for."""
    ground = Field(folder)
    outcome = Outcome()
    with patch.object(retry, "ATTEMPTS", 1), watched() as seen:
        ground.serve()
        assert seen.manifests == [ground.files[f"{TARGET}/manifest.json"]], "the unharmed artifact must be served"
        assert seen.others == ["onnxruntime", "tokenizers"], "and what watches the parsers must see them"
        for case in cases(ground, count, Random(seed)):
            with ground.changed(case.changes):
                attempt(ground, case, seen, outcome)
                if control:
                    outcome.believed += believed(ground)
    return outcome


def attempt(ground: Field, case: Case, seen: Seen, outcome: Outcome) -> None:
    seen.manifests.clear()
    seen.others.clear()
    for folder in ground.cache.iterdir():
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
    try:
        ground.serve()
    except HearthError as error:
        outcome.errors[type(error).__name__] += 1
        outcome.refused[case.kind] += 1
    else:
        outcome.wrong.append(f"{case.kind}: served")
    # That a weight was changed is only known from the manifest, so its true bytes may be read; but no others.
    allowed = [ground.files[f"{TARGET}/manifest.json"]] if case.kind.startswith("file") else []
    if seen.others or any(raw not in allowed for raw in seen.manifests) or any(ground.cache.iterdir()):
        outcome.wrong.append(f"{case.kind}: parsed {seen.others or 'a manifest'}, or left something in the cache")


def believed(ground: Field) -> bool:
    try:
        ground.serve(verified=False)
    except HearthError:
        return False
    return True


def cases(ground: Field, count: int, random: Random) -> Iterator[Case]:
    """The named attacks once each, then random ones until there are `count`."""
    made = 0
    for case in named(ground):
        made += 1
        yield case
    target = {path: data for path, data in ground.files.items() if path.startswith(f"{TARGET}/")}
    while made < count:
        path = random.choice(sorted(target))
        name = path.rpartition("/")[2]
        kind, data = mutated(target[path], random)
        if name == SIGNATURE and random.random() < 0.5:
            kind, data = within_signature(target[path], random)
        if data == target[path] or (name == SIGNATURE and same_bundle(data, target[path])):
            continue  # another blank between the bundle's tokens changes nothing
        made += 1
        yield Case(f"{'file ' if name not in DOCUMENTS else ''}{name}: {kind}", {path: data})


def mutated(data: bytes, random: Random) -> tuple[str, bytes]:
    """One small or large change."""
    at = random.randrange(len(data))
    end = min(len(data), at + random.randrange(1, 200))
    changed = bytearray(data)
    kind = random.choice(("bit", "byte", "insert", "delete", "cut", "append", "zero", "repeat", "swap"))
    if kind == "bit":
        changed[at] ^= 1 << random.randrange(8)
    elif kind == "byte":
        changed[at] = random.randrange(256)
    elif kind == "insert":
        changed[at:at] = random.randbytes(random.randrange(1, 40))
    elif kind == "delete":
        del changed[at:end]
    elif kind == "cut":
        del changed[at:]
    elif kind == "append":
        changed += random.randbytes(random.randrange(1, 40))
    elif kind == "zero":
        changed[at:end] = bytes(end - at)
    elif kind == "repeat":
        changed[at:at] = changed[at:end]
    else:
        half = (at + end) // 2
        changed[at:end] = changed[half:end] + changed[at:half]
    return kind, bytes(changed)


def within_signature(raw: bytes, random: Random) -> tuple[str, bytes]:
    """A change of what the bundle carries in base64, which is then encoded again."""
    bundle = json.loads(raw)
    envelope = bundle["dsseEnvelope"]
    place, name = random.choice(((envelope, "payload"), (envelope["signatures"][0], "sig")))
    kind, changed = mutated(base64.b64decode(place[name]), random)
    place[name] = base64.b64encode(changed).decode()
    return f"{name} {kind}", json.dumps(bundle).encode()


def same_bundle(one: bytes, other: bytes) -> bool:
    try:
        decoded = [msgspec.json.decode(raw, type=signature.Bundle) for raw in (one, other)]
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return decoded[0] == decoded[1]


def named(ground: Field) -> Iterator[Case]:
    """Attacks with a thought behind them."""
    files = ground.files
    manifest, signed = f"{TARGET}/manifest.json", f"{TARGET}/{SIGNATURE}"
    raw = files[manifest]
    digests = digests_of(parse(raw), raw)
    ref = TARGET.replace("/", "@")

    def by(name: str) -> LocalKey:
        return key(ground.trust, name)

    yield Case("no signature", {signed: None})
    yield Case("no manifest", {manifest: None})
    yield Case("empty signature", {signed: b""})
    yield Case("a signature of 5 MB", {signed: files[signed] + b" " * 5_000_000})
    yield Case("deep JSON as signature", {signed: b"[" * 100_000})
    for name in (STRANGE, EXPIRED, EARLY):
        yield Case(f"signed with the {name} key", {signed: sign(by(name), ref, digests)})
    yield Case(
        "the strange key under the trusted one's hint",
        {signed: _with_hint(sign(by(STRANGE), ref, digests), files[signed])},
    )
    yield Case("the old version's signature", {signed: files[f"{OLD}/{SIGNATURE}"]})
    yield Case("the old version in the place of the new", _moved(files, OLD, TARGET))
    yield Case("another model in its place", _moved(files, f"{OTHER}/1", TARGET))
    yield Case("another model's signature", {signed: files[f"{OTHER}/1/{SIGNATURE}"]})
    alias = json.dumps({"prod": {"version": "1"}}).encode()
    yield Case("an alias below the least version", {f"{MODEL}/aliases.json": alias})
    yield Case("the same manifest in other words", {manifest: json.dumps(json.loads(raw)).encode()})
    yield Case("a manifest of another file", {manifest: raw.replace(b'"model.bin"', b'"model_.bin"')})
    yield Case("a manifest with a further file", {manifest: _with_file(raw), f"{TARGET}/more.bin": b"x"})
    yield Case("a manifest with a file less", {manifest: _without_file(raw)})
    yield Case("file model.bin: the old version's", {f"{TARGET}/model.bin": files[f"{OLD}/model.bin"]})
    for name in ("model.onnx", "model.bin", "tokenizer.json"):
        yield Case(f"file {name}: gone", {f"{TARGET}/{name}": None})
        yield Case(f"file {name}: empty", {f"{TARGET}/{name}": b""})
    yield Case("file model.onnx: another model's", {f"{TARGET}/model.onnx": files[f"{OTHER}/1/model.onnx"]})
    yield Case("file model.onnx: a pickle", {f"{TARGET}/model.onnx": b"\x80\x04K\x01."})
    for kind, change in FORMS.items():
        bundle = json.loads(files[signed])
        change(bundle)
        yield Case(f"bundle: {kind}", {signed: json.dumps(bundle).encode()})


def _moved(files: Mapping[str, bytes], source: str, target: str) -> Changes:
    gone: Changes = {path: None for path in files if path.startswith(f"{target}/")}
    return gone | {path.replace(source, target): data for path, data in files.items() if path.startswith(f"{source}/")}


def _with_hint(bundle: bytes, of: bytes) -> bytes:
    changed = json.loads(bundle)
    changed["verificationMaterial"] = json.loads(of)["verificationMaterial"]
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


def _put(*path: str | int) -> Callable[[Any], Callable[[Any], None]]:
    def to(value: Any) -> Callable[[Any], None]:
        def change(bundle: Any) -> None:
            for step in path[:-1]:
                bundle = bundle[step]
            bundle[path[-1]] = value(bundle[path[-1]]) if callable(value) else value

        return change

    return to


_SIGNATURES = ("dsseEnvelope", "signatures")
_SIG = (*_SIGNATURES, 0, "sig")


def _der(change: Callable[[bytes], bytes]) -> Callable[[str], str]:
    return lambda text: base64.b64encode(change(base64.b64decode(text))).decode()


FORMS: dict[str, Callable[[Any], None]] = {
    "two signatures": _put(*_SIGNATURES)(lambda one: one * 2),
    "no signatures": _put(*_SIGNATURES)([]),
    "another payload type": _put("dsseEnvelope", "payloadType")("text/plain"),
    "another media type": _put("mediaType")("application/vnd.dev.sigstore.bundle.v0.2+json"),
    "a key id": _put(*_SIGNATURES, 0, "keyid")("key"),
    "a certificate": _put("verificationMaterial")({"certificate": {"rawBytes": "AA=="}}),
    "no hint": _put("verificationMaterial", "publicKey")({}),
    "a log entry": _put("verificationMaterial", "tlogEntries")([{"logIndex": "1"}]),
    "a further field": _put("dsseEnvelope")(lambda one: one | {"more": 1}),
    "base64 with a line break": _put("dsseEnvelope", "payload")(lambda text: text[:8] + "\n" + text[8:]),
    "base64 without padding": _put(*_SIG)(lambda text: text.rstrip("=")[:-1]),
    "base64 of the URL alphabet": _put(*_SIG)("-_" * 36),
    "an empty signature": _put(*_SIG)(""),
    "r and s of zero": _put(*_SIG)(base64.b64encode(bytes.fromhex("3006020100020100")).decode()),
    "r and s of one": _put(*_SIG)(base64.b64encode(bytes.fromhex("3006020101020101")).decode()),
    "DER with a byte more": _put(*_SIG)(_der(lambda der: der + b"\0")),
    "DER in the long form": _put(*_SIG)(_der(lambda der: b"\x30\x81" + der[1:])),
    "two raw numbers": _put(*_SIG)(_der(lambda der: bytes(64))),
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
    text = (
        f"{total:,} changed copies of a signed artifact through store, registry and cache: all {total:,} were refused "
        f"({errors}), in {seconds:.0f} s. ONNX Runtime and the tokenizer reader were never reached, the manifest's "
        "parser only by the manifest that was signed, and nothing stayed in the cache. "
        f"Without keys {outcome.believed} of the same copies are served."
    )
    command = f"python -m tests.hostile.artifacts {count}"
    record("Mutated artifacts", command, f"{text}\n\n| what was changed | refused |\n|---|---|\n{table}", seed=SEED)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
