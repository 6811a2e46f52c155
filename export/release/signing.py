"""Sign artifacts in the format of OpenSSF Model Signing, with a key in a PEM file or in AWS KMS.

`hearth signing-key` creates a key pair, `hearth publish --sign` and `hearth sign` sign, and `hearth verify` checks a
published version. A key is given as a path, or as `awskms://` followed by the ARN or `alias/NAME` of a KMS key
(ECC_NIST_P256). A private key in KMS never leaves it: anyone who may call kms:Sign can sign, and CloudTrail records
each signature.
"""

from __future__ import annotations

import base64
import hashlib
import os
import tempfile
import time
from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from hearth.errors import BadRequest, IntegrityError, NotFound
from hearth.models import ecdsa_p256
from hearth.models.download import fetch
from hearth.models.manifest import SIGNATURE, Manifest, parse
from hearth.models.registry import Ref, Registry
from hearth.models.signature import (
    Bundle,
    Envelope,
    EnvelopeSignature,
    KeyHint,
    Material,
    Predicate,
    Resource,
    RootDigest,
    Serialization,
    Statement,
    Subject,
    Trust,
    parse_public_key,
    root_digest,
    to_pem,
    to_sign,
)
from hearth.storage.base import Store

KMS = "awskms://"
KMS_MESSAGE = 4096
"""Longest message in bytes that KMS accepts. Of longer ones it signs the hash."""
FETCH_SECONDS = 3600.0
"""Time limit for downloading one version."""


class Signer(Protocol):
    public_key: bytes
    """SubjectPublicKeyInfo in DER."""

    def sign(self, message: bytes) -> bytes:
        """The ECDSA signature with SHA-256, in DER. Raises BadRequest."""


class LocalKey:
    def __init__(self, path: Path) -> None:
        try:
            key = load_pem_private_key(path.read_bytes(), None)
        except OSError as error:
            raise BadRequest(f"The signing key {path} cannot be read: {error.strerror}") from None
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise BadRequest(f"{path} is not an unencrypted private key in PEM format: {error}") from None
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
            raise BadRequest(f"{path} is not a P-256 key. Create one with `hearth signing-key`.")
        self._key = key
        self.public_key = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    def sign(self, message: bytes) -> bytes:
        return self._key.sign(message, ec.ECDSA(hashes.SHA256()))


class KmsKey:
    def __init__(self, name: str) -> None:
        import boto3

        region = name.split(":")[3] if name.startswith("arn:") and name.count(":") >= 5 else None
        self._name = name
        self._kms = boto3.client("kms", region_name=region)
        with self._translate_errors():
            self.public_key = self._kms.get_public_key(KeyId=name)["PublicKey"]

    def sign(self, message: bytes) -> bytes:
        is_raw = len(message) <= KMS_MESSAGE
        with self._translate_errors():
            response = self._kms.sign(
                KeyId=self._name,
                Message=message if is_raw else hashlib.sha256(message).digest(),
                MessageType="RAW" if is_raw else "DIGEST",
                SigningAlgorithm="ECDSA_SHA_256",
            )
        return response["Signature"]

    @contextmanager
    def _translate_errors(self) -> Any:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except ClientError as error:
            code = error.response["Error"]["Code"]
            needed = "kms:Sign and kms:GetPublicKey on an ECC_NIST_P256 key for signing"
            raise BadRequest(f"KMS did not sign with {self._name} ({code}). You need {needed}") from None
        except BotoCoreError as error:
            raise BadRequest(f"KMS cannot be called: {error}") from None


def load_signer(key: str) -> Signer:
    """Load the key from a PEM file, or connect to it in KMS. Raises BadRequest."""
    signer: Signer = KmsKey(key.removeprefix(KMS)) if key.startswith(KMS) else LocalKey(Path(key))
    try:
        ecdsa_p256.public_key(signer.public_key)
    except ValueError:
        raise BadRequest(f"{key} is not a P-256 key (ECC_NIST_P256)") from None
    return signer


def make_key(path: Path) -> bytes:
    """Write a new private key to a file that only its owner can read, and return the public key as PEM.

    Raises FileExistsError.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def digests_of(manifest: Manifest, raw: bytes) -> dict[str, str]:
    """SHA-256 by name of everything that is signed: manifest.json, which is `raw`, and the files that it lists."""
    return {file.path: file.sha256 for file in manifest.files} | {"manifest.json": hashlib.sha256(raw).hexdigest()}


def sign(signer: Signer, ref: str, digests: Mapping[str, str]) -> bytes:
    """Create the content of `model.sig` for the artifact `ref`, which is `model@version`. Raises BadRequest."""
    resources = tuple(Resource(name, digest, "sha256") for name, digest in sorted(digests.items()))
    payload = msgspec.json.encode(
        Statement(
            type="https://in-toto.io/Statement/v1",
            subject=(Subject(ref, RootDigest(root_digest([resource.digest for resource in resources]))),),
            predicate_type="https://model_signing/signature/v1.0",
            predicate=Predicate(Serialization("files", "sha256", False, (SIGNATURE,)), resources),
        )
    )
    signature = signer.sign(to_sign(payload))
    hint, point = parse_public_key(to_pem(signer.public_key))
    if not ecdsa_p256.verify(point, to_sign(payload), signature):
        raise BadRequest(f"The signature of {ref} does not verify with the key's own public key: nothing was written")
    return msgspec.json.encode(
        Bundle(
            media_type="application/vnd.dev.sigstore.bundle.v0.3+json",
            verification_material=Material(KeyHint(hint)),
            dsse_envelope=Envelope(
                payload=base64.b64encode(payload).decode(),
                payload_type="application/vnd.in-toto+json",
                signatures=(EnvelopeSignature(base64.b64encode(signature).decode()),),
            ),
        )
    )


def sign_published(store: Store, ref: Ref, signer: Signer) -> None:
    """Sign a published version, or replace its signature, for example after a change of keys.

    All its files are downloaded and hashed first, so that only what the manifest describes is signed. Raises NotFound,
    IntegrityError, StoreError, and Conflict if someone else signs the version at the same time.
    """
    prefix = f"{ref.model}/{ref.version}"
    manifest = Registry(store).manifest(ref)
    raw = store.get(f"{prefix}/manifest.json")
    if parse(raw) != manifest:
        raise IntegrityError(f"manifest.json of {ref} changed while it was read")
    _fetch_all(store, ref, manifest)
    signature = sign(signer, str(ref), digests_of(manifest, raw))
    try:
        _, etag = store.get_with_etag(f"{prefix}/{SIGNATURE}")
    except NotFound:
        store.put(f"{prefix}/{SIGNATURE}", signature, if_absent=True)
    else:
        store.put(f"{prefix}/{SIGNATURE}", signature, if_match=etag)


def verify_published(store: Store, name: str, trust: Trust) -> Ref:
    """Verify that every byte of the version that `name` refers to was signed with a trusted key; returns its reference.

    This is stricter than the runtime: an unsigned file beside the signed ones is an error too. Raises IntegrityError,
    NotFound, StoreError.
    """
    registry = Registry(store, trust=trust)
    resolved = registry.resolve(name)
    ref, manifest = resolved.ref, resolved.manifest
    prefix = f"{ref.model}/{ref.version}/"
    paths = {path.removeprefix(prefix) for path in store.list(prefix)}
    unsigned = paths - {file.path for file in manifest.files} - {"manifest.json", SIGNATURE}
    if unsigned:
        raise IntegrityError(f"{ref} has unsigned files: {', '.join(sorted(unsigned))}")
    _fetch_all(store, ref, manifest)
    return ref


def _fetch_all(store: Store, ref: Ref, manifest: Manifest) -> None:
    with tempfile.TemporaryDirectory() as folder:
        deadline = time.monotonic() + FETCH_SECONDS
        fetch(store, f"{ref.model}/{ref.version}", manifest.files, Path(folder), deadline)
