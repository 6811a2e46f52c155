"""Signatures in OpenSSF Model Signing's form, by a key in a PEM file or in AWS KMS.

`hearth signing-key` makes a key pair, `hearth publish --sign` and `hearth sign` sign, `hearth verify` checks what a
store holds. A key is named as a path, or as `awskms://` and a KMS key's ARN or `alias/NAME` (ECC_NIST_P256). KMS keeps
private keys to itself: whoever may call kms:Sign can sign, and CloudTrail has a record of each time.
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
"""Bytes that KMS hashes itself; of more it takes the hash."""
FETCH_SECONDS = 3600.0


class Signer(Protocol):
    public: bytes
    """The public key, a SubjectPublicKeyInfo in DER."""

    def sign(self, message: bytes) -> bytes:
        """ECDSA with SHA-256, in DER. Raises BadRequest."""


class LocalKey:
    def __init__(self, path: Path) -> None:
        try:
            key = load_pem_private_key(path.read_bytes(), None)
        except OSError as error:
            raise BadRequest(f"The signing key {path} cannot be read: {error.strerror}") from None
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise BadRequest(f"{path} is no unencrypted private key in PEM form: {error}") from None
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
            raise BadRequest(f"{path} is no P-256 key. `hearth signing-key` makes one.")
        self._key = key
        self.public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    def sign(self, message: bytes) -> bytes:
        return self._key.sign(message, ec.ECDSA(hashes.SHA256()))


class KmsKey:
    def __init__(self, name: str) -> None:
        import boto3

        region = name.split(":")[3] if name.startswith("arn:") and name.count(":") >= 5 else None
        self._name = name
        self._kms = boto3.client("kms", region_name=region)
        with self._explained():
            self.public = self._kms.get_public_key(KeyId=name)["PublicKey"]

    def sign(self, message: bytes) -> bytes:
        raw = len(message) <= KMS_MESSAGE
        with self._explained():
            answer = self._kms.sign(
                KeyId=self._name,
                Message=message if raw else hashlib.sha256(message).digest(),
                MessageType="RAW" if raw else "DIGEST",
                SigningAlgorithm="ECDSA_SHA_256",
            )
        return answer["Signature"]

    @contextmanager
    def _explained(self) -> Any:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except ClientError as error:
            code = error.response["Error"]["Code"]
            needed = "kms:Sign and kms:GetPublicKey on an ECC_NIST_P256 key for signing"
            raise BadRequest(f"KMS did not sign with {self._name} ({code}); it takes {needed}") from None
        except BotoCoreError as error:
            raise BadRequest(f"KMS cannot be asked: {error}") from None


def signer(key: str) -> Signer:
    """The key that `key` names. Raises BadRequest."""
    found: Signer = KmsKey(key.removeprefix(KMS)) if key.startswith(KMS) else LocalKey(Path(key))
    try:
        ecdsa_p256.public_key(found.public)
    except ValueError:
        raise BadRequest(f"{key} is no P-256 key (ECC_NIST_P256)") from None
    return found


def make_key(path: Path) -> bytes:
    """A new private key into a file that only its owner can read; the public one as PEM. Raises FileExistsError."""
    key = ec.generate_private_key(ec.SECP256R1())
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def digests_of(manifest: Manifest, raw: bytes) -> dict[str, str]:
    """SHA-256 by name of all that is signed: `raw`, which is manifest.json, and the files that it lists."""
    return {file.path: file.sha256 for file in manifest.files} | {"manifest.json": hashlib.sha256(raw).hexdigest()}


def sign(by: Signer, ref: str, digests: Mapping[str, str]) -> bytes:
    """The bytes of `model.sig` for the artifact `ref`, which is `model@version`. Raises BadRequest."""
    resources = tuple(Resource(name, digest, "sha256") for name, digest in sorted(digests.items()))
    payload = msgspec.json.encode(
        Statement(
            type="https://in-toto.io/Statement/v1",
            subject=(Subject(ref, RootDigest(root_digest([resource.digest for resource in resources]))),),
            predicate_type="https://model_signing/signature/v1.0",
            predicate=Predicate(Serialization("files", "sha256", False, (SIGNATURE,)), resources),
        )
    )
    signature = by.sign(to_sign(payload))
    hint, point = parse_public_key(to_pem(by.public))
    if not ecdsa_p256.verify(point, to_sign(payload), signature):
        raise BadRequest(f"The key signed {ref}, but its own public half does not verify that: nothing was written")
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


def sign_published(store: Store, ref: Ref, by: Signer) -> None:
    """Sign a version that is in the store, anew where it was signed: after that key's time, or for the first time.

    All its files are fetched and hashed first, so that nothing is signed but what its manifest says. Raises NotFound,
    IntegrityError, StoreError, Conflict where somebody else signs it meanwhile.
    """
    prefix = f"{ref.model}/{ref.version}"
    manifest = Registry(store).manifest(ref)
    raw = store.get(f"{prefix}/manifest.json")
    if parse(raw) != manifest:
        raise IntegrityError(f"manifest.json of {ref} changes while it is read")
    _fetch_all(store, ref, manifest)
    signature = sign(by, str(ref), digests_of(manifest, raw))
    try:
        _, etag = store.get_with_etag(f"{prefix}/{SIGNATURE}")
    except NotFound:
        store.put(f"{prefix}/{SIGNATURE}", signature, if_absent=True)
    else:
        store.put(f"{prefix}/{SIGNATURE}", signature, if_match=etag)


def verify_published(store: Store, name: str, trust: Trust) -> Ref:
    """The artifact that `name` means, whose every byte was signed by who is trusted. Raises what says that it is not.

    More than the runtime asks: here a file that lies beside those that were signed is an error too.
    """
    registry = Registry(store, trust=trust)
    resolved = registry.resolve(name)
    ref, manifest = resolved.ref, resolved.manifest
    prefix = f"{ref.model}/{ref.version}/"
    found = {path.removeprefix(prefix) for path in store.list(prefix)}
    unsigned = found - {file.path for file in manifest.files} - {"manifest.json", SIGNATURE}
    if unsigned:
        raise IntegrityError(f"{ref} has files that nobody signed: {', '.join(sorted(unsigned))}")
    _fetch_all(store, ref, manifest)
    return ref


def _fetch_all(store: Store, ref: Ref, manifest: Manifest) -> None:
    with tempfile.TemporaryDirectory() as folder:
        deadline = time.monotonic() + FETCH_SECONDS
        fetch(store, f"{ref.model}/{ref.version}", manifest.files, Path(folder), deadline)
