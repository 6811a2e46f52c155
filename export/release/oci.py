"""Models in registries of containers (OCI), in the ModelPack format of the CNCF: one layer for each file.

See https://github.com/modelpack/model-spec. A model that another tool packed is a folder for `hearth import`.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

from hearth.errors import BadRequest
from hearth.models.manifest import Manifest

if TYPE_CHECKING:
    from requests import Response

IMAGE_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
ARTIFACT = "application/vnd.cncf.model.manifest.v1+json"
CONFIG = "application/vnd.cncf.model.config.v1+json"
PREFIX = "application/vnd.cncf.model."
"""Of the media types of layers."""
WEIGHTS, SETTINGS, DOCUMENT = (f"{PREFIX}{kind}.v1.raw" for kind in ("weight", "weight.config", "doc"))
KINDS = {".onnx": WEIGHTS, ".bin": WEIGHTS, ".md": DOCUMENT, ".png": DOCUMENT}
"""Media type of a layer by the file's suffix; others are settings of the weights."""
FILE_PATH = "org.cncf.model.filepath"
ARCHIVES = {".tar": "r:", ".tar+gzip": "r:gz"}
"""How layers are unpacked, by the end of their media types."""
REFERENCE = re.compile(
    r"((?:[a-z0-9-]+\.[a-z0-9.-]+|localhost|[a-z0-9-]+(?=:))(?::\d+)?)/"
    r"[a-z0-9]+(?:[._/-]+[a-z0-9]+)*(?::\w[\w.-]{0,127})?(?:@sha256:[0-9a-f]{64})?"
)
MAX_MANIFEST = 4 * 1024 * 1024
"""Bytes of the largest manifest; registries take no larger ones."""
BLOCK = 1024 * 1024


def push(manifest: Manifest, files: Mapping[str, Path], reference: str) -> str:
    """Write the files of a version, by their paths in it, to a registry; `reference` is HOST/REPOSITORY:TAG. Returns
    the digest. What the registry has already is not sent again. Raises BadRequest."""
    layers = [layer_of(name, path) for name, path in files.items()]
    config = json.dumps(config_of(manifest, layers), ensure_ascii=False, sort_keys=True).encode()
    image = {
        "schemaVersion": 2,
        "mediaType": IMAGE_MANIFEST,
        "artifactType": ARTIFACT,
        "config": {"mediaType": CONFIG, **descriptor_of(config)},
        "layers": layers,
        "annotations": {
            "org.opencontainers.image.title": manifest.model,
            "org.opencontainers.image.version": manifest.version,
            "org.opencontainers.image.licenses": manifest.licence,
            "org.opencontainers.image.description": manifest.description,
        },
    }
    raw = json.dumps(image, ensure_ascii=False).encode()
    if "@" in reference:
        raise BadRequest(f"{reference} names a digest, which follows from the content: push to HOST/REPOSITORY:TAG")
    with Registry(reference) as registry:
        for layer, path in zip(layers, files.values(), strict=True):
            with path.open("rb") as file:
                registry.upload(layer, file)
        registry.upload(image["config"], config)
        headers = {"Content-Type": IMAGE_MANIFEST}
        registry.ask(registry.container.manifest_url(registry.container.tag), "PUT", data=raw, headers=headers)
    return descriptor_of(raw)["digest"]


def pull(reference: str, folder: Path) -> list[Path]:
    """Write the files of a model into a folder, which must not exist; returns them. Raises BadRequest for what is no
    model in this format, and for bytes that are not those of their digest."""
    if folder.exists():
        raise BadRequest(f"{folder} exists already; name a new folder")
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        with Registry(reference) as registry:
            for layer in layers_of(registry.manifest(), reference):
                registry.download(layer, partial / ".layer")
                unpack(layer, partial / ".layer", partial)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return sorted(path for path in folder.rglob("*") if path.is_file())


def layer_of(name: str, path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    kind = KINDS.get(path.suffix, SETTINGS)
    size = path.stat().st_size
    return {"mediaType": kind, "digest": f"sha256:{digest}", "size": size, "annotations": {FILE_PATH: name}}


def config_of(manifest: Manifest, layers: list[dict[str, Any]]) -> dict[str, Any]:
    method = manifest.quantization.method
    return {
        "descriptor": {
            "name": manifest.model,
            "version": manifest.version,
            "description": manifest.description,
            "licenses": [manifest.licence],
        },
        "config": {"format": "onnx", "precision": method},
        "modelfs": {"type": "layers", "diffIds": [layer["digest"] for layer in layers]},
    }


def descriptor_of(raw: bytes) -> dict[str, Any]:
    return {"digest": f"sha256:{hashlib.sha256(raw).hexdigest()}", "size": len(raw)}


def layers_of(image: dict[str, Any], reference: str) -> list[dict[str, Any]]:
    """The layers of a manifest. Raises BadRequest if it is no model of this format."""
    kind = image.get("artifactType") or image.get("config", {}).get("mediaType") or image.get("mediaType")
    if kind not in (ARTIFACT, CONFIG):
        raise BadRequest(f"{reference} is no model in the ModelPack format; it is {kind or 'something unknown'}")
    return list(image["layers"])


def unpack(layer: dict[str, Any], path: Path, folder: Path) -> None:
    """Put the content of a layer into a folder, and remove `path`. Raises BadRequest for what would not land there."""
    kind = str(layer["mediaType"])
    name = (layer.get("annotations") or {}).get(FILE_PATH, "")
    if kind.endswith(".raw"):
        place = PurePosixPath(name)
        if not name or place.is_absolute() or ".." in place.parts or "\\" in name:
            raise BadRequest(f"A layer of the model names the file {name!r}, which is no path within it")
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        path.rename(folder / place)
        return
    mode = next((mode for end, mode in ARCHIVES.items() if kind.endswith(end)), None)
    if not kind.startswith(PREFIX) or mode is None:
        raise BadRequest(f"A layer of the model is {kind}, which is not read; {', '.join(('.raw', *ARCHIVES))} are")
    try:
        with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
            archive.extractall(folder, filter="data")
    except tarfile.TarError as error:
        raise BadRequest(f"A layer of the model cannot be unpacked: {error}") from None
    path.unlink()


class Registry:
    """The repository of a reference. Credentials are those of `docker login`; a registry of this machine is asked by
    plain HTTP, as docker does. Raises BadRequest for what the registry refuses."""

    def __init__(self, reference: str) -> None:
        from oras.container import Container
        from oras.provider import Registry as Client

        match = REFERENCE.fullmatch(reference)
        if match is None:
            raise BadRequest(f"{reference} is not HOST/REPOSITORY:TAG, in small letters, such as ghcr.io/me/model:1")
        host = match[1]
        self.reference = reference
        self.container: Any = Container(reference)
        is_local = host.partition(":")[0] in ("localhost", "127.0.0.1")
        self.client = Client(hostname=host, insecure=is_local)

    def __enter__(self) -> Registry:
        self.client.auth.load_configs(self.container)
        return self

    def __exit__(self, *_: object) -> None:
        self.client.session.close()

    def ask(self, url: str, method: str = "GET", missing: bool = False, **options: Any) -> Response:
        """A response. `missing`: 404 is one too."""
        with self.refused():
            address = url if "://" in url else f"{self.client.prefix}://{url}"
            # Without the retries of the library, which wait for two minutes where nobody listens.
            response: Response = type(self.client).do_request.__wrapped__(self.client, address, method, **options)
        if response.status_code == 404 and not missing:
            raise BadRequest(f"{self.reference} is not in the registry")
        if response.status_code >= 400 and response.status_code != 404:
            raise BadRequest(f"The registry refused {self.reference} with {response.status_code}: {reason(response)}")
        return response

    @contextmanager
    def refused(self) -> Iterator[None]:
        from oras.auth import AuthenticationException
        from requests import RequestException

        try:
            yield
        except RequestException as error:
            raise BadRequest(f"The registry of {self.reference} cannot be reached: {error}") from None
        except (ValueError, AuthenticationException) as error:
            message = f"The registry of {self.reference} wants credentials; `docker login` keeps them"
            raise BadRequest(message) from error

    def upload(self, layer: Any, content: Any) -> None:
        """Send a blob, bytes or a file, unless it is there."""
        if self.ask(self.container.get_blob_url(layer["digest"]), "HEAD", missing=True).status_code == 200:
            return
        started = self.ask(self.container.upload_blob_url(), "POST")
        session = urljoin(started.url, started.headers["Location"])
        url = f"{session}{'&' if '?' in session else '?'}digest={layer['digest']}"
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(layer["size"])}
        self.ask(url, "PUT", data=content, headers=headers)

    def manifest(self) -> dict[str, Any]:
        """The manifest, which must have the digest of the reference if that names one."""
        response = self.ask(self.container.manifest_url(), headers={"Accept": IMAGE_MANIFEST})
        if len(response.content) > MAX_MANIFEST:
            raise BadRequest(f"The manifest of {self.reference} has more than {MAX_MANIFEST} bytes")
        if self.container.digest and descriptor_of(response.content)["digest"] != self.container.digest:
            raise BadRequest(f"The registry answered with another manifest than {self.reference}")
        return dict(response.json())

    def download(self, layer: Any, path: Path) -> None:
        """Write a blob to a file. Raises BadRequest if it is not what the manifest says."""
        total, digest = 0, hashlib.sha256()
        response = self.ask(self.container.get_blob_url(layer["digest"]), stream=True)
        with self.refused(), path.open("wb") as file:
            for block in response.iter_content(BLOCK):
                total += len(block)
                if total > layer["size"]:
                    break
                digest.update(block)
                file.write(block)
        if total != layer["size"] or f"sha256:{digest.hexdigest()}" != layer["digest"]:
            raise BadRequest(f"{self.reference}: the bytes of {layer['digest']} differ from its digest; pull again")


def reason(response: Response) -> str:
    """What a registry says about an error."""
    try:
        return "; ".join(error.get("message", error["code"]) for error in response.json()["errors"])
    except (ValueError, KeyError, TypeError):
        return response.reason or "no reason given"
