"""Verifies that an artifact was signed by a key that this deployment trusts, before its manifest is parsed.

`model.sig` beside a manifest is an OpenSSF Model Signing v1.0 signature: a Sigstore bundle with a DSSE envelope, which
contains an in-toto statement with the SHA-256 of every file of the artifact, manifest.json included.

A trust folder (setting HEARTH_VERIFY_KEYS) holds the public keys as `NAME.pem`. A file `trust.json` in it may limit the
days on which a key's signatures are accepted, and set a minimum version of each model:

    {"keys": {"NAME.pem": {"not_before": "2026-01-01", "not_after": "2027-01-31"}}, "minimum": {"MODEL": 3}}
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from hearth.errors import IntegrityError, SettingsError
from hearth.models import ecdsa_p256
from hearth.models.manifest import Name, Sha256

PAYLOAD_TYPE = b"application/vnd.in-toto+json"
T = TypeVar("T")
Date = Annotated[str, Meta(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")]


class _Strict(Struct, frozen=True, forbid_unknown_fields=True):
    """Base of parts that are not signed themselves: unknown fields are refused."""


class KeyHint(_Strict, frozen=True):
    hint: str
    """SHA-256 of the public key's PEM form."""


class Material(_Strict, frozen=True, rename="camel"):
    public_key: KeyHint
    tlog_entries: Annotated[tuple[None, ...], Meta(max_length=0)] = ()


class EnvelopeSignature(_Strict, frozen=True):
    sig: str
    keyid: Literal[""] = ""


class Envelope(_Strict, frozen=True, rename="camel"):
    payload: str
    payload_type: Literal["application/vnd.in-toto+json"]
    signatures: Annotated[tuple[EnvelopeSignature, ...], Meta(min_length=1, max_length=1)]


class Bundle(_Strict, frozen=True, rename="camel"):
    media_type: Literal["application/vnd.dev.sigstore.bundle.v0.3+json"]
    verification_material: Material
    dsse_envelope: Envelope


class RootDigest(Struct, frozen=True):
    sha256: Sha256


class Subject(Struct, frozen=True):
    name: str
    digest: RootDigest


class Resource(Struct, frozen=True):
    name: str
    digest: Sha256
    algorithm: Literal["sha256"]


class Serialization(Struct, frozen=True):
    method: Literal["files"]
    hash_type: Literal["sha256"]
    allow_symlinks: Literal[False] = False
    ignore_paths: tuple[str, ...] = ()


class Predicate(Struct, frozen=True):
    serialization: Serialization
    resources: tuple[Resource, ...]


class Statement(Struct, frozen=True, kw_only=True):
    type: Literal["https://in-toto.io/Statement/v1"] = msgspec.field(name="_type")
    subject: Annotated[tuple[Subject, ...], Meta(min_length=1, max_length=1)]
    predicate_type: Literal["https://model_signing/signature/v1.0"] = msgspec.field(name="predicateType")
    predicate: Predicate


class Window(Struct, frozen=True, forbid_unknown_fields=True):
    """First and last day (UTC) on which artifacts signed with the key are loaded."""

    not_before: Date = "0000-00-00"
    not_after: Date = "9999-99-99"


class Rules(Struct, frozen=True, forbid_unknown_fields=True):
    """`trust.json`."""

    keys: dict[str, Window] = {}
    minimum: dict[Name, Annotated[int, Meta(ge=1)]] = {}


@dataclass(frozen=True)
class Key:
    """A trusted key."""

    name: str
    point: ecdsa_p256.Point
    window: Window


@dataclass(frozen=True)
class Signed:
    """The content of a verified signature."""

    files: dict[str, str]
    """SHA-256 of each file, manifest.json included, in hexadecimal."""
    subject: str
    key: str
    """File name of the key."""


class Trust:
    """Keys by their hint, and the minimum version of each model."""

    def __init__(self, keys: dict[str, Key], minimum: dict[str, int]) -> None:
        self.keys = keys
        self._minimum = minimum

    def check_version(self, model: str, version: str) -> None:
        """Raise IntegrityError for a version below the model's minimum, whoever signed it."""
        minimum = self._minimum.get(model, 1)
        if int(version) < minimum:
            raise IntegrityError(f"{model}@{version} is older than version {minimum}, the oldest that is trusted here")

    def check(self, signature: bytes, model: str, version: str, manifest: bytes) -> Signed:
        """Verify the signature of an artifact whose manifest.json has the bytes `manifest`. Raises IntegrityError."""
        ref = f"{model}@{version}"
        signed = self._verify(signature, ref)
        # The reference tool names the subject after the signed folder; the manifest has the model's name.
        if "@" in signed.subject and signed.subject != ref:
            raise IntegrityError(f"The signature of {ref} is for {signed.subject[:130]}")
        if signed.files.get("manifest.json") != hashlib.sha256(manifest).hexdigest():
            raise IntegrityError(f"manifest.json of {ref} is not the file that was signed")
        return signed

    def _verify(self, signature: bytes, ref: str) -> Signed:
        bundle = _decode(signature, Bundle, f"The signature of {ref}")
        hint = bundle.verification_material.public_key.hint
        key = self.keys.get(hint)
        if key is None:
            raise IntegrityError(f"{ref} is signed with a key that is not trusted here ({hint[:16]!r})")
        today = time.strftime("%Y-%m-%d", time.gmtime())
        if not key.window.not_before <= today <= key.window.not_after:
            raise IntegrityError(
                f"{ref} is signed with {key.name}, which is trusted only from {key.window.not_before} "
                f"to {key.window.not_after}; sign it again with `hearth sign`"
            )
        envelope = bundle.dsse_envelope
        payload = _base64(envelope.payload, ref)
        if not ecdsa_p256.verify(key.point, to_sign(payload), _base64(envelope.signatures[0].sig, ref)):
            raise IntegrityError(f"The signature of {ref} is invalid")
        return _parse_statement(payload, key.name, ref)


def _parse_statement(payload: bytes, key: str, ref: str) -> Signed:
    statement = _decode(payload, Statement, f"The signed statement of {ref}")
    subject, resources = statement.subject[0], statement.predicate.resources
    files = {resource.name: resource.digest for resource in resources}
    root = root_digest([resource.digest for resource in resources])
    if len(files) != len(resources) or root != subject.digest.sha256:
        raise IntegrityError(f"The signed statement of {ref} contradicts itself")
    return Signed(files, subject.name, key)


def to_sign(payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding: the bytes that are signed."""
    return b"DSSEv1 %d %s %d %s" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE, len(payload), payload)


def root_digest(digests: list[str]) -> str:
    """SHA-256 of all files' digests, in the statement's order."""
    return hashlib.sha256(b"".join(bytes.fromhex(digest) for digest in digests)).hexdigest()


def parse_public_key(pem: bytes) -> tuple[str, ecdsa_p256.Point]:
    """A public key's hint and point. Raises ValueError."""
    lines = pem.decode("ascii").split("\n")
    if lines[0] != "-----BEGIN PUBLIC KEY-----" or lines[-2:] != ["-----END PUBLIC KEY-----", ""]:
        raise ValueError("not one public key in PEM format")
    der = base64.b64decode("".join(lines[1:-2]), validate=True)
    return hashlib.sha256(to_pem(der)).hexdigest(), ecdsa_p256.public_key(der)


def to_pem(der: bytes) -> bytes:
    """A SubjectPublicKeyInfo in the PEM format from which hints are computed."""
    text = base64.b64encode(der).decode()
    lines = [text[start : start + 64] for start in range(0, len(text), 64)]
    return "\n".join(["-----BEGIN PUBLIC KEY-----", *lines, "-----END PUBLIC KEY-----", ""]).encode()


def read(folder: Path) -> Trust:
    """Read a trust folder. Raises SettingsError, which names the file."""
    keys = {}
    try:
        pem_files = {path.name: path.read_bytes() for path in sorted(folder.glob("*.pem"))}
        raw = (folder / "trust.json").read_bytes() if (folder / "trust.json").exists() else b"{}"
        rules = msgspec.json.decode(raw, type=Rules)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"HEARTH_VERIFY_KEYS: {folder}/trust.json or a key cannot be read: {error}") from None
    if not pem_files:
        raise SettingsError(f"HEARTH_VERIFY_KEYS: {folder} has no key; create one with `hearth signing-key`")
    if unknown := sorted(set(rules.keys) - set(pem_files)):
        raise SettingsError(f"HEARTH_VERIFY_KEYS: trust.json names {', '.join(unknown)}, which {folder} does not have")
    for name, pem in pem_files.items():
        try:
            hint, point = parse_public_key(pem)
        except ValueError as error:
            raise SettingsError(
                f"HEARTH_VERIFY_KEYS: {folder / name} is not a P-256 public key in PEM: {error}"
            ) from None
        keys[hint] = Key(name, point, rules.keys.get(name, Window()))
    return Trust(keys, dict(rules.minimum))


def _decode(raw: bytes, schema: type[T], subject: str) -> T:
    try:
        return msgspec.json.decode(raw, type=schema)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise IntegrityError(f"{subject} is not in OpenSSF Model Signing's format: {str(error)[:200]}") from None


def _base64(text: str, ref: str) -> bytes:
    encoded = text.encode("ascii", "replace")
    try:
        raw = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        raw = b""
    if base64.b64encode(raw) != encoded or not raw:
        raise IntegrityError(f"The signature of {ref} is not in base64")
    return raw
