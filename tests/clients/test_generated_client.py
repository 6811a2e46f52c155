"""A client that openapi-python-client generates from /openapi.json: complete, well named, and it works."""

from __future__ import annotations

import subprocess
import urllib.request
from pathlib import Path

import pytest

from tests.tools import tool

USE = """
import sys
from hearth_client import Client
from hearth_client.api.hugging_face import infer, list_models
from hearth_client.api.models import infer_sentiment_en
from hearth_client.api.open_ai import create_embedding
from hearth_client.models import EmbeddingRequest, InferRequest, TextClassificationRequest

client = Client(base_url=sys.argv[1])
names = [model.name for model in list_models.sync(client=client).models]
labels = infer_sentiment_en.sync(client=client, body=TextClassificationRequest(inputs="A wonderful film."))
assert labels[0][0].label == "positive", labels
scores = infer.sync("sentiment-en", client=client, body=InferRequest(inputs="A dull film."))
assert scores[0][0]["label"] == "negative", scores
vectors = create_embedding.sync(client=client, body=EmbeddingRequest(model="embeddings-en", input_="A dog runs."))
assert len(vectors.data) == 1
print(len(names))
"""
CLASSES = {"ChatCompletionRequest", "EmbeddingRequest", "InferRequest", "ModelSummary", "PendingResult", "UploadTicket"}
OPERATIONS = {
    "hugging_face": {"create_upload", "get_result", "infer", "list_models"},
    "open_ai": {"create_chat_completion", "create_completion", "create_embedding", "create_transcription"},
    "open_inference_protocol": {"model_infer", "model_metadata", "server_ready"},
    "sage_maker": {"invoke_endpoint"},
}


@pytest.mark.parametrize("server", ["local"], indirect=True)
def test_a_client_is_generated_and_used(server: str, tmp_path: Path) -> None:
    environment = tool("openapi_python_client")
    document = tmp_path / "openapi.json"
    with urllib.request.urlopen(f"{server}/openapi.json") as response:
        document.write_bytes(response.read())
    command = [
        environment / "bin/openapi-python-client",
        "generate",
        "--path",
        document,
        "--output-path",
        tmp_path / "made",
    ]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "Unable to" not in run.stdout, run.stdout
    assert "will not be generated" not in run.stdout, run.stdout
    package = tmp_path / "made/hearth_client"
    names = (package / "models/__init__.py").read_text()
    assert all(f'"{name}"' in names for name in CLASSES), names
    for group, operations in OPERATIONS.items():
        assert operations <= {path.stem for path in (package / "api" / group).glob("*.py")}
    used = subprocess.run(
        [environment / "bin/python", "-c", USE, server],
        cwd=tmp_path / "made",
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert used.returncode == 0, used.stderr
