"""Hub ids, against an endpoint of our own that speaks the part of the hub's API that huggingface_hub uses."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from hearth_build.importing import hub
from hearth_build.importing.source import open_source
from hearth_build.recipe import RecipeError

COMMIT = hashlib.sha1(b"commit").hexdigest()
FILES = {
    "config.json": json.dumps({"model_type": "bert", "architectures": ["BertModel"], "vocab_size": 9}).encode(),
    "tokenizer.json": b"{}",
    "model.safetensors": b"weights" * 1000,
    "pytorch_model.bin": b"pickle",
    "onnx/model.onnx": b"graph",
    "onnx/model_quantized.onnx": b"small graph",
    "onnx/model_q4.onnx": b"another",
    "README.md": b"# A model",
}


class Hub(BaseHTTPRequestHandler):
    """One model, `someone/model`, at one commit."""

    files: dict[str, bytes] = FILES
    requested: list[str] = []  # noqa: RUF012

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        if path.startswith("/api/models/someone/model"):
            siblings = [{"rfilename": name, "size": len(data)} for name, data in self.files.items()]
            tree = [
                {"type": "file", "path": name, "size": len(data), "oid": "0" * 40} for name, data in self.files.items()
            ]
            info = {"id": "someone/model", "sha": COMMIT, "siblings": siblings}
            self.reply(200, json.dumps(tree if "/tree/" in path else info).encode())
        elif path.startswith(f"/someone/model/resolve/{COMMIT}/"):
            name = path.removeprefix(f"/someone/model/resolve/{COMMIT}/")
            data = self.files[name]
            if self.command == "GET":
                self.requested.append(name)
            start = int((self.headers.get("Range") or "bytes=0-")[6:].partition("-")[0])
            self.reply(
                206 if start else 200,
                data[start:],
                {"ETag": f'"{hashlib.sha256(data).hexdigest()}"', "X-Repo-Commit": COMMIT},
            )
        else:
            self.reply(404, b'{"error": "Repository not found"}', {"X-Error-Code": "RepoNotFound"})

    do_HEAD = do_GET

    def reply(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


@pytest.fixture
def endpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Hub]]:
    import huggingface_hub.constants

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(
        huggingface_hub.constants,
        "HUGGINGFACE_CO_URL_TEMPLATE",
        f"http://127.0.0.1:{server.server_port}/{{repo_id}}/resolve/{{revision}}/{{filename}}",
    )
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    Hub.files, Hub.requested = FILES, []
    yield Hub
    server.shutdown()
    server.server_close()


def test_only_the_graph_and_its_configuration_are_downloaded(endpoint: type[Hub]) -> None:
    source = open_source("someone/model")
    assert source.title == f"someone/model@{COMMIT[:12]}"
    assert source.stem == "model"
    assert {path.name for path in source.graphs} == {"model.onnx", "model_quantized.onnx"}
    assert not source.weights
    assert sorted(endpoint.requested) == [
        "config.json",
        "onnx/model.onnx",
        "onnx/model_quantized.onnx",
        "tokenizer.json",
    ]
    open_source("someone/model", COMMIT)
    assert len(endpoint.requested) == 4  # all of it is in the cache


def test_without_a_graph_the_safetensors_are_downloaded(endpoint: type[Hub]) -> None:
    endpoint.files = {name: data for name, data in FILES.items() if not name.startswith("onnx/")}
    source = open_source("someone/model")
    assert [path.name for path in source.weights] == ["model.safetensors"]
    assert "pytorch_model.bin" not in endpoint.requested


def test_what_the_hub_does_not_have_is_said(endpoint: type[Hub]) -> None:
    with pytest.raises(RecipeError, match="nobody/nothing is neither a file nor a folder here"):
        open_source("nobody/nothing")
    endpoint.files = {"pytorch_model.bin": b"pickle", "config.json": b"{}"}
    with pytest.raises(RecipeError, match="neither"):
        open_source("someone/model")


def test_sharded_weights_are_chosen_instead_of_a_second_copy() -> None:
    names = ("config.json", "model.safetensors.index.json", "model-00001-of-00002.safetensors")
    names = (*names, "model-00002-of-00002.safetensors", "consolidated.safetensors", "original/params.json")
    files = hub.needed_files(dict.fromkeys(names, 1))
    assert [name for name in files if name.endswith("safetensors")] == [
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
    ]


def test_a_model_that_writes_text_comes_from_its_safetensors() -> None:
    files = hub.needed_files(dict.fromkeys(FILES, 1), generates=True)
    assert "model.safetensors" in files
    assert not [name for name in files if name.endswith(".onnx")]
