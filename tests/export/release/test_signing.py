"""Signing during and after publishing, with keys in files and in KMS."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hearth.errors import BadRequest, IntegrityError
from hearth.models import ecdsa_p256, signature
from hearth.models.manifest import SIGNATURE
from hearth.models.registry import Ref
from hearth.models.signature import parse_public_key, to_pem
from hearth.storage.open import open_store
from hearth_build.release.signing import LocalKey, load_signer, make_key, sign, sign_published, verify_published
from tests.support.artifacts import make_text_artifact
from tests.support.s3 import CREDENTIALS, client, moto_s3
from tests.support.signed import NEXT, STRANGE, key, make_keys, sign_folder
from tests.template.local_stack import KEYS, Aws

REF = Ref("sentiment-en", "1")


@pytest.fixture
def trust(tmp_path: Path) -> Path:
    return make_keys(tmp_path / "keys")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    make_text_artifact(tmp_path / "store")
    return tmp_path / "store"


def test_a_version_is_signed_and_signed_again(store: Path, trust: Path) -> None:
    artifact_store = open_store(store.as_uri())
    trusted = signature.read(trust)
    with pytest.raises(IntegrityError, match="not signed"):
        verify_published(artifact_store, "sentiment-en", trusted)
    for name in (STRANGE, NEXT):
        sign_published(artifact_store, REF, key(trust, name))
    assert verify_published(artifact_store, "sentiment-en", trusted) == REF


def test_files_that_differ_from_the_manifest_are_not_signed(store: Path, trust: Path) -> None:
    weights = store / "sentiment-en/1/model.bin"
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    with pytest.raises(IntegrityError, match=r"model\.bin does not match the manifest"):
        sign_published(open_store(store.as_uri()), REF, key(trust))
    assert not (store / "sentiment-en/1" / SIGNATURE).exists()


def test_an_unsigned_file_in_the_store_is_reported(store: Path, trust: Path) -> None:
    sign_folder(store / "sentiment-en/1", key(trust))
    (store / "sentiment-en/1/extra.bin").write_bytes(b"x")
    with pytest.raises(IntegrityError, match=r"unsigned files: extra\.bin"):
        verify_published(open_store(store.as_uri()), "sentiment-en", signature.read(trust))


def test_a_private_key_is_readable_only_by_its_owner_and_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    public = make_key(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert to_pem(LocalKey(path).public_key) == public
    with pytest.raises(FileExistsError):
        make_key(path)


@pytest.mark.parametrize("curve", ["ED25519", "P-384", "encrypted", "public", "missing"])
def test_a_key_of_another_type_is_refused_by_name(tmp_path: Path, curve: str) -> None:
    path = tmp_path / "key.pem"
    options = {
        "ED25519": ["genpkey", "-algorithm", "ED25519"],
        "P-384": ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
        "encrypted": ["genpkey", "-algorithm", "ED25519", "-aes256", "-pass", "pass:x"],
    }
    if curve in options:
        subprocess.run(["openssl", *options[curve], "-out", path], check=True, capture_output=True)
    elif curve == "public":
        path.write_bytes(make_key(tmp_path / "other.pem"))
    with pytest.raises(BadRequest, match=r"key\.pem (is not|cannot be read)"):
        load_signer(str(path))


# KMS


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    with moto_s3() as url:
        yield url


def kms_key(url: str, spec: str = "ECC_NIST_P256") -> str:
    created = client(url, "kms").create_key(KeySpec=spec, KeyUsage="SIGN_VERIFY")
    return str(created["KeyMetadata"]["Arn"])


@pytest.fixture
def kms_of_moto(moto: str, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", moto)
    return moto


def test_a_signature_by_kms_is_verified_without_kms(
    store: Path, trust: Path, kms_of_moto: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kms_signer = load_signer(f"awskms://{kms_key(kms_of_moto)}")
    artifact_store = open_store(store.as_uri())
    sign_published(artifact_store, REF, kms_signer)
    with pytest.raises(IntegrityError, match="a key that is not trusted"):
        verify_published(artifact_store, "sentiment-en", signature.read(trust))
    (trust / "kms.pem").write_bytes(to_pem(kms_signer.public_key))
    monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", "http://127.0.0.1:9")
    assert verify_published(artifact_store, "sentiment-en", signature.read(trust)) == REF


def test_a_signature_that_does_not_verify_is_never_written(kms_of_moto: str) -> None:
    """More than 4 KB goes to KMS as a hash, which moto wrongly hashes again: its signature does not verify."""
    kms_signer = load_signer(f"awskms://{kms_key(kms_of_moto)}")
    digests = {f"file{number}.bin": "0" * 64 for number in range(5)}
    assert sign(kms_signer, "m@1", digests)
    with pytest.raises(BadRequest, match="nothing was written"):
        sign(kms_signer, "m@1", {f"file{number}.bin": "0" * 64 for number in range(100)})


def test_a_missing_or_wrong_kms_key_is_refused(kms_of_moto: str) -> None:
    with pytest.raises(BadRequest, match="NotFoundException"):
        load_signer("awskms://arn:aws:kms:us-east-1:123456789012:key/00000000-0000-0000-0000-000000000000")
    with pytest.raises(BadRequest, match="not a P-256 key"):
        load_signer(f"awskms://{kms_key(kms_of_moto, 'RSA_2048')}")


def test_kms_signs_long_statements_by_their_hash(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    created = aws.client("kms").create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]
    for name, value in (CREDENTIALS | {"AWS_ENDPOINT_URL_KMS": aws.url, "AWS_CA_BUNDLE": str(aws.certificate)}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEYS["aws_access_key_id"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", KEYS["aws_secret_access_key"])
    kms_signer = load_signer(f"awskms://{created['Arn']}")
    for files in (5, 100):
        assert sign(kms_signer, "m@1", {f"file{number}.bin": "0" * 64 for number in range(files)})
    _, point = parse_public_key(to_pem(kms_signer.public_key))
    assert ecdsa_p256.verify(point, b"message", kms_signer.sign(b"message"))


def test_the_commands_create_sign_and_verify(store: Path, tmp_path: Path) -> None:
    def hearth(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "hearth_build.cli.main", *arguments]
        environment |= {"HEARTH_STORE": store.as_uri(), "HEARTH_CACHE_DIR": str(tmp_path / "cache"), "COLUMNS": "200"}
        return subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)

    private, keys = str(tmp_path / "key.pem"), tmp_path / "trust"
    created = hearth("signing-key", private, "--public", str(keys / "2026.pem"))
    assert created.returncode == 0, created.stderr
    assert "2026.pem exists" in hearth("signing-key", private, "--public", str(keys / "2026.pem")).stderr
    refused = hearth("predict", "sentiment-en", "good", HEARTH_VERIFY_KEYS=str(keys))
    assert refused.returncode == 1
    assert "is not signed; sign it with `hearth sign`" in refused.stderr
    assert hearth("sign", "sentiment-en", "--key", private).stdout == "Signed sentiment-en@1\n"
    assert "sentiment-en@1 is signed and unchanged" in hearth("verify", "sentiment-en", "--keys", str(keys)).stdout
    assert "positive" in hearth("predict", "sentiment-en", "good", HEARTH_VERIFY_KEYS=str(keys)).stdout
