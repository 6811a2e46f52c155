"""Signatures: P-256 against `cryptography`, compatibility with the reference tool; nothing unsigned is parsed."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hearth import settings
from hearth.errors import HearthError, IntegrityError, SettingsError
from hearth.models import registry, signature
from hearth.models.cache import Cache, warm_cache
from hearth.models.disk_cache import DiskCache
from hearth.models.manifest import SIGNATURE, parse
from hearth.models.registry import Registry
from hearth.storage.open import open_store
from hearth_build.release.signing import digests_of, sign
from tests.conftest import set_alias
from tests.hostile.artifacts import run
from tests.support import ROOT
from tests.support.artifacts import make_text_artifact
from tests.support.signed import EXPIRED, NEXT, STRANGE, TRUSTED, key, make_keys, sign_folder
from tests.tools import tool

# Artifacts


@pytest.fixture
def trust(tmp_path: Path) -> Path:
    return make_keys(tmp_path / "keys")


@pytest.fixture
def signed_store(tmp_path: Path, trust: Path) -> Path:
    folder = tmp_path / "store"
    sign_folder(make_text_artifact(folder), key(trust))
    return folder


def served_version(store: Path, trust: Path, name: str = "sentiment-en") -> str:
    """Return the version that a new process serves."""
    models = Registry(open_store(store.as_uri()), alias_seconds=0, trust=signature.read(trust))
    with Cache(models, DiskCache(store.parent / "cache", 2**30), 2**30, 1, 20).get(name) as model:
        return model.manifest.version


def sign_as(store: Path, trust: Path, name: str, version: str = "1") -> None:
    sign_folder(store / "sentiment-en" / version, key(trust, name))


def test_a_signed_artifact_is_served_and_its_key_is_reported(signed_store: Path, trust: Path) -> None:
    models = Registry(open_store(signed_store.as_uri()), trust=signature.read(trust))
    ref = models.resolve("sentiment-en").ref
    manifest = (signed_store / "sentiment-en/1/manifest.json").read_bytes()
    assert models.origin(ref) == (hashlib.sha256(manifest).hexdigest(), f"{TRUSTED}.pem")
    assert served_version(signed_store, trust) == "1"


def test_keys_can_be_rotated_and_expire(signed_store: Path, trust: Path) -> None:
    sign_as(signed_store, trust, NEXT)
    assert served_version(signed_store, trust) == "1"
    sign_as(signed_store, trust, TRUSTED)
    assert served_version(signed_store, trust) == "1"
    (trust / "trust.json").write_text(json.dumps({"keys": {"trusted.pem": {"not_after": "2020-12-31"}}}))
    with pytest.raises(
        IntegrityError, match=r"trusted\.pem, which is trusted only .* to 2020-12-31; sign it again with `hearth sign`"
    ):
        served_version(signed_store, trust)
    (trust / f"{TRUSTED}.pem").unlink()
    (trust / "trust.json").unlink()
    with pytest.raises(IntegrityError, match="a key that is not trusted here"):
        served_version(signed_store, trust)
    sign_as(signed_store, trust, NEXT)
    assert served_version(signed_store, trust) == "1"


def test_an_alias_below_the_minimum_version_is_ignored(signed_store: Path, trust: Path, tmp_path: Path) -> None:
    make_text_artifact(signed_store, version="2")
    sign_as(signed_store, trust, TRUSTED, "2")
    (trust / "trust.json").write_text('{"minimum": {"sentiment-en": 2}}')
    models = Registry(open_store(signed_store.as_uri()), alias_seconds=0, trust=signature.read(trust))
    cache = Cache(models, DiskCache(tmp_path / "cache", 2**30), 2**30, 1, 20)
    with cache.get("sentiment-en") as model:
        assert model.manifest.version == "2"
    set_alias(signed_store, "sentiment-en", "1")
    with cache.get("sentiment-en") as model:
        assert model.manifest.version == "2"
    assert cache.counters.stale == 1
    for name in ("sentiment-en", "sentiment-en@1"):
        with pytest.raises(IntegrityError, match="older than version 2"):
            served_version(signed_store, trust, name)


@pytest.mark.parametrize("listed", ["more", "fewer"])
def test_a_manifest_with_other_files_than_were_signed_is_refused(signed_store: Path, trust: Path, listed: str) -> None:
    folder = signed_store / "sentiment-en/1"
    raw = (folder / "manifest.json").read_bytes()
    digests = digests_of(parse(raw), raw)
    if listed == "fewer":
        digests["extra.bin"] = "0" * 64
    else:
        del digests["model.bin"]
    (folder / SIGNATURE).write_bytes(sign(key(trust), "sentiment-en@1", digests))
    with pytest.raises(IntegrityError, match="not the files that were signed"):
        served_version(signed_store, trust)


def test_a_signature_of_another_artifact_is_refused(
    signed_store: Path, trust: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = (signed_store / "sentiment-en/1/manifest.json").read_bytes()
    other = sign(key(trust), "sentiment-zh@1", digests_of(parse(raw), raw))
    (signed_store / "sentiment-en/1" / SIGNATURE).write_bytes(other)
    monkeypatch.setattr(registry, "parse", lambda raw: pytest.fail("parsed"))
    with pytest.raises(IntegrityError, match="is for sentiment-zh@1"):
        served_version(signed_store, trust)


def test_an_extra_file_in_the_store_is_never_fetched(signed_store: Path, trust: Path, tmp_path: Path) -> None:
    (signed_store / "sentiment-en/1/extra.bin").write_bytes(b"x")
    assert served_version(signed_store, trust) == "1"
    assert not list((tmp_path / "cache").rglob("extra.bin"))


@pytest.mark.slow
def test_hundreds_of_changed_artifacts_are_refused_before_anything_is_parsed(tmp_path: Path) -> None:
    outcome = run(200, 7, tmp_path)
    assert outcome.wrong == []
    assert sum(outcome.refused.values()) == 200
    assert set(outcome.errors) <= {"IntegrityError", "NotFound", "StoreError"}


def test_the_setting_enables_verification(
    store_folder: Path, trust: Path, serving: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with warm_cache().get("sentiment-en"):
        pass
    monkeypatch.setenv("HEARTH_VERIFY_KEYS", str(trust))
    settings.get.cache_clear()
    warm_cache.cache_clear()
    with (
        pytest.raises(IntegrityError, match="sentiment-en@1 is not signed") as caught,
        warm_cache().get("sentiment-en"),
    ):
        pass
    assert (caught.value.status, caught.value.code) == (503, "integrity_error")
    sign_folder(store_folder / "sentiment-en/1", key(trust))
    with warm_cache().get("sentiment-en"):
        pass


def test_without_keys_no_signature_module_is_imported(store_folder: Path, trust: Path, tmp_path: Path) -> None:
    sign_folder(store_folder / "sentiment-en/1", key(trust))
    code = """
import sys
from hearth.models.cache import warm_cache
with warm_cache().get("sentiment-en"):
    print(*(name in sys.modules for name in ("hearth.models.signature", "hearth.models.ecdsa_p256", "cryptography")))
"""
    environment = {
        "HEARTH_STORE": store_folder.as_uri(),
        "HEARTH_CACHE_DIR": str(tmp_path / "c"),
        "PYTHONPATH": ":".join(sys.path),
    }
    for keys, expected in (({}, "False False False"), ({"HEARTH_VERIFY_KEYS": str(trust)}, "True True False")):
        result = subprocess.run([sys.executable, "-c", code], env=environment | keys, capture_output=True, text=True)
        assert result.stdout.strip() == expected, result.stderr


@pytest.mark.slow
def test_public_keys_beside_the_runtime_are_built_into_its_layer(trust: Path, tmp_path: Path) -> None:
    layers = ROOT / "layers"
    (sources := tmp_path / "layers").mkdir()
    shutil.copy(layers / "build.py", sources)
    shutil.copytree(layers / "runtime", sources / "runtime", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "without").mkdir()
    (tmp_path / "with").mkdir()
    subprocess.run([sys.executable, sources / "build.py", "runtime", tmp_path / "without"], check=True)
    shutil.copytree(trust, sources / "runtime/trust")
    subprocess.run([sys.executable, sources / "build.py", "runtime", tmp_path / "with"], check=True)
    assert not (tmp_path / "without/trust").exists()
    assert signature.read(tmp_path / "with/trust").keys == signature.read(trust).keys


def break_key(trust: Path) -> None:
    (trust / f"{NEXT}.pem").write_text("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda trust: [path.unlink() for path in trust.iterdir()], "has no key"),
        (lambda trust: (trust / "trust.json").write_text("{"), "trust.json"),
        (lambda trust: (trust / "trust.json").write_text('{"keys": {"gone.pem": {}}}'), r"names gone\.pem"),
        (lambda trust: (trust / "trust.json").write_text('{"minimum": {"m": "2"}}'), "minimum"),
        (lambda trust: (trust / "trust.json").write_text('{"minimal": {}}'), "minimal"),
        (lambda trust: (trust / "trust.json").write_text('{"keys": {"next.pem": {"not_after": "soon"}}}'), "not_after"),
        (break_key, r"next\.pem is not a P-256 public key"),
        (lambda trust: (trust / "next.pem").write_bytes(b"\xff"), r"next\.pem is not a P-256 public key"),
    ],
)
def test_an_invalid_trust_folder_is_named(trust: Path, spoil: Callable[[Path], object], message: str) -> None:
    signature.read(trust)
    spoil(trust)
    with pytest.raises(SettingsError, match=f"HEARTH_VERIFY_KEYS.*{message}"):
        signature.read(trust)


# The reference tool


def run_reference_tool(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [str(tool("model_signing") / "bin/model_signing"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def reference_verifies(artifact: Path, public: Path) -> bool:
    result = run_reference_tool("verify", "key", artifact, "--signature", artifact / SIGNATURE, "--public_key", public)
    assert ("Verification succeeded" in result.stdout) is (result.returncode == 0)
    return result.returncode == 0


@pytest.mark.slow
def test_the_reference_tool_verifies_our_signatures(signed_store: Path, trust: Path) -> None:
    artifact = signed_store / "sentiment-en/1"
    assert reference_verifies(artifact, trust / f"{TRUSTED}.pem")
    assert not reference_verifies(artifact, trust / f"{NEXT}.pem")
    (artifact / "extra.bin").write_bytes(b"x")
    assert not reference_verifies(artifact, trust / f"{TRUSTED}.pem")
    (artifact / "extra.bin").unlink()
    (artifact / "manifest.json").write_bytes((artifact / "manifest.json").read_bytes() + b" ")
    assert not reference_verifies(artifact, trust / f"{TRUSTED}.pem")


@pytest.mark.slow
def test_we_verify_signatures_of_the_reference_tool(signed_store: Path, trust: Path) -> None:
    artifact = signed_store / "sentiment-en/1"
    for name, trusted in ((TRUSTED, True), (STRANGE, False), (EXPIRED, False)):
        (artifact / SIGNATURE).unlink()
        private = trust.parent / f"{name}.key"
        result = run_reference_tool(
            "sign", "key", artifact, "--signature", artifact / SIGNATURE, "--private_key", private
        )
        assert result.returncode == 0, result.stderr
        if trusted:
            assert served_version(signed_store, trust) == "1"
        else:
            with pytest.raises(HearthError, match="trusted"):
                served_version(signed_store, trust)
