"""Models in a registry of containers: Debian's docker-registry on this machine, and oras's own client beside ours."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from hearth.errors import BadRequest
from hearth.storage.open import open_store
from hearth_build import ZOO
from hearth_build.cli.main import app
from hearth_build.release import oci
from hearth_build.release.publish import publish
from tests.support.emulator import free_port

MODEL = "sentiment-en"


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """HOST:PORT of an empty registry."""
    program = shutil.which("docker-registry")
    if program is None:
        message = "docker-registry is not installed: apt-get install docker-registry"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    folder, port = tmp_path_factory.mktemp("registry"), free_port()
    config = {
        "version": 0.1,
        "log": {"level": "error"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
        "http": {"addr": f"127.0.0.1:{port}"},
    }
    (folder / "config.yml").write_text(json.dumps(config))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, "serve", folder / "config.yml"], stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/", timeout=5).close()
                break
            except OSError:
                assert process.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.1)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


def fetch(registry: str, path: str) -> Any:
    request = urllib.request.Request(f"http://{registry}/v2/{path}", headers={"Accept": oci.IMAGE_MANIFEST})
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.loads(response.read())


def test_a_model_goes_through_a_registry_to_another_store(registry: str, tmp_path: Path) -> None:
    reference = f"{registry}/models/{MODEL}:1"
    for _ in range(2):  # the second time, everything is there already
        output = run("push", MODEL, reference, "--store", ZOO.as_uri())
    assert f"Pushed {MODEL}@1 to {reference} (sha256:" in output
    folder = tmp_path / "pulled"
    assert f"Next: hearth publish {folder}" in run("pull", reference, str(folder))
    store = tmp_path / "store"
    store.mkdir()
    published = publish(open_store(store.as_uri()), folder)
    assert (published.model, published.version) == (MODEL, "1")
    source = ZOO / MODEL / "1"
    for file in source.iterdir():
        assert (folder / file.name).read_bytes() == file.read_bytes()
    digest = output[output.index("(sha256:") + 1 : output.index(")")]
    run("pull", f"{registry}/models/{MODEL}@{digest}", str(tmp_path / "by-digest"))


def test_the_manifest_is_that_of_modelpack(registry: str) -> None:
    run("push", MODEL, f"{registry}/{MODEL}:latest", "--store", ZOO.as_uri())
    image = fetch(registry, f"{MODEL}/manifests/latest")
    assert image["artifactType"] == "application/vnd.cncf.model.manifest.v1+json"
    kinds = {layer["annotations"]["org.cncf.model.filepath"]: layer["mediaType"] for layer in image["layers"]}
    assert kinds["model.onnx"] == "application/vnd.cncf.model.weight.v1.raw"
    assert kinds["tokenizer.json"] == "application/vnd.cncf.model.weight.config.v1.raw"
    assert kinds["report.md"] == "application/vnd.cncf.model.doc.v1.raw"
    config = fetch(registry, f"{MODEL}/blobs/{image['config']['digest']}")
    assert config["descriptor"]["name"] == MODEL
    assert config["descriptor"]["licenses"] == ["Apache-2.0"]
    assert config["config"]["format"] == "onnx"
    assert config["modelfs"]["diffIds"] == [layer["digest"] for layer in image["layers"]]


def put(registry: str, name: str, layers: list[tuple[str, str, bytes]], kind: str = oci.ARTIFACT) -> str:
    """Push layers (media type, path, content) as another tool does; returns the reference."""
    client = oci.Registry(f"{registry}/{name}:1")
    descriptors = []
    for media_type, path, content in layers:
        layer = {"mediaType": media_type, **oci.descriptor_of(content), "annotations": {oci.FILE_PATH: path}}
        client.upload(layer, content)
        descriptors.append(layer)
    config = {"mediaType": oci.CONFIG, **oci.descriptor_of(b"{}")}
    client.upload(config, b"{}")
    image = {
        "schemaVersion": 2,
        "mediaType": oci.IMAGE_MANIFEST,
        "artifactType": kind,
        "config": config,
        "layers": descriptors,
    }
    raw = json.dumps(image).encode()
    client.ask(client.container.manifest_url("1"), "PUT", data=raw, headers={"Content-Type": oci.IMAGE_MANIFEST})
    return f"{registry}/{name}:1"


def archive(mode: str, name: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as tar:  # type: ignore[call-overload]
        member = tarfile.TarInfo(name)
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def test_a_model_of_another_tool_is_a_folder_to_import(registry: str, tmp_path: Path) -> None:
    layers = [
        (oci.WEIGHTS, "model.safetensors", b"weights"),
        ("application/vnd.cncf.model.weight.config.v1.tar", "", archive("w:", "config.json", b"{}")),
        ("application/vnd.cncf.model.doc.v1.tar+gzip", "", archive("w:gz", "docs/README.md", b"# Model")),
    ]
    folder = tmp_path / "folder"
    output = run("pull", put(registry, "others", layers), str(folder))
    assert f"Next: hearth import {folder} --name NAME" in output
    assert (folder / "model.safetensors").read_bytes() == b"weights"
    assert (folder / "config.json").read_bytes() == b"{}"
    assert (folder / "docs/README.md").read_bytes() == b"# Model"


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ((oci.WEIGHTS, "../outside", b"x"), "'../outside', which is no path within it"),
        ((oci.WEIGHTS, "/etc/outside", b"x"), "no path within it"),
        ((oci.WEIGHTS, "", b"x"), "names the file ''"),
        (("application/vnd.cncf.model.weight.v1.tar", "", archive("w:", "../outside", b"x")), "cannot be unpacked"),
        (("application/vnd.cncf.model.weight.v1.tar", "", b"no archive"), "cannot be unpacked"),
        (("application/vnd.cncf.model.weight.v1.tar+zstd", "", b"x"), "tar\\+zstd, which is not read"),
    ],
)
def test_a_layer_that_would_land_elsewhere_is_refused(
    layer: tuple[str, str, bytes], message: str, registry: str, tmp_path: Path
) -> None:
    name = f"bad-{hashlib.sha256(repr(layer).encode()).hexdigest()[:8]}"
    with pytest.raises(BadRequest, match=message):
        oci.pull(put(registry, name, [layer]), tmp_path / "folder")
    assert not list(tmp_path.iterdir())


def test_what_is_no_model_is_refused(registry: str, tmp_path: Path) -> None:
    reference = put(registry, "image", [], kind="application/vnd.oci.image.config.v1+json")
    for wrong, message in (
        (reference, "no model in the ModelPack format; it is application/vnd.oci.image.config"),
        (f"{registry}/nothing:1", "is not in the registry"),
        ("sentiment-en:1", "is not HOST/REPOSITORY:TAG"),
        ("models/sentiment-en:1", "is not HOST/REPOSITORY:TAG"),
        (f"{registry}/Upper Case:1", "is not HOST/REPOSITORY:TAG"),
        (f"127.0.0.1:{free_port()}/model:1", "cannot be reached"),
    ):
        with pytest.raises(BadRequest, match=message):
            oci.pull(wrong, tmp_path / "folder")
    with pytest.raises(BadRequest, match="exists already"):
        oci.pull(reference, tmp_path)


def test_bytes_of_another_digest_are_refused(registry: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reference = put(registry, "changed", [(oci.WEIGHTS, "model.bin", b"weights")])
    kept = oci.Registry.manifest

    def changed(self: oci.Registry) -> dict[str, Any]:
        image = kept(self)
        image["layers"][0]["size"] -= 1
        return image

    monkeypatch.setattr(oci.Registry, "manifest", changed)
    with pytest.raises(BadRequest, match="differ from its digest"):
        oci.pull(reference, tmp_path / "folder")
