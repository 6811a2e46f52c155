"""The template under SAM local: our functions in containers, layers at /opt, a memory limit, real routes."""

from __future__ import annotations

import http.client
import io
import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.containers import BRIDGE, build_image, engine, missing
from tests.emulator import free_port
from tests.layers import ROOT, python313
from tests.requests import rest_event
from tests.s3 import CREDENTIALS, client, moto_s3, upload_folder
from tests.tools import tool

reason = missing()
pytestmark = pytest.mark.skipif(reason is not None, reason=reason or "")
PRAISE = json.dumps({"inputs": "I love this great movie"}).encode()


@dataclass(frozen=True)
class Sam:
    """SAM CLI over one built template."""

    folder: Path
    environment: dict[str, str]

    @property
    def arguments(self) -> list[str]:
        return [
            *("--template", str(self.folder / "built/template.yaml")),
            *("--env-vars", str(self.folder / "variables.json")),
            "--skip-pull-image",
        ]

    def invoke(self, function: str, event: object) -> dict[str, Any]:
        """`sam local invoke`: a fresh container, one event. Raises RuntimeError with SAM's words."""
        command = [tool("sam") / "bin/sam", "local", "invoke", function, "--event", "-", *self.arguments]
        done = subprocess.run(command, input=json.dumps(event), env=self.environment, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr)
        # The function's own log goes to stderr; the answer is the last line.
        return json.loads(done.stdout.strip().splitlines()[-1])

    @contextmanager
    def api(self) -> Iterator[int]:
        """`sam local start-api`, whose containers stay warm after their first call; yields its port."""
        port = free_port()
        command = [tool("sam") / "bin/sam", "local", "start-api", "--port", str(port), *self.arguments]
        command += ["--host", "127.0.0.1", "--warm-containers", "LAZY"]
        log = self.folder / "api.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, env=self.environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
            try:
                deadline = time.monotonic() + 120
                while b"Running on" not in log.read_bytes():
                    if process.poll() is not None or time.monotonic() > deadline:
                        raise RuntimeError(f"sam local start-api did not start:\n{log.read_text()}")
                    time.sleep(0.2)
                yield port
            finally:
                process.terminate()
                process.wait(30)


@pytest.fixture(scope="module")
def sam(zoo: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sam]:
    """Engine, image, local S3 on the bridge, `sam build`."""
    folder = tmp_path_factory.mktemp("sam")
    with engine() as docker_environment, moto_s3(BRIDGE) as url:
        build_image(docker_environment)
        upload_folder(client(url), zoo, "artifacts", "models/")
        upload_folder(client(url), ROOT / "export/zoo/gpt-shakespeare", "artifacts", "models/gpt-shakespeare/")
        environment = docker_environment | CREDENTIALS
        environment |= {"HOME": str(folder), "SAM_CLI_TELEMETRY": "0"}
        # SAM builds with the interpreter of the function's version, and looks for it on PATH alone.
        environment["PATH"] = f"{python313().parent}{os.pathsep}{os.environ['PATH']}"
        # SAM local sets no variable that the template does not declare.
        template = (ROOT / "template.yaml").read_text()
        marker = "        HEARTH_STORE:"
        assert marker in template
        declared = template.replace(marker, f'        AWS_ENDPOINT_URL: ""\n{marker}', 1)
        (folder / "template.yaml").write_text(declared)
        variables = {"AWS_ENDPOINT_URL": url, "HEARTH_STORE": "s3://artifacts/models"}
        (folder / "variables.json").write_text(json.dumps({"Parameters": variables}))
        command = [tool("sam") / "bin/sam", "build", "--template", folder / "template.yaml"]
        command += ["--base-dir", ROOT, "--build-dir", folder / "built", "--cache-dir", folder / "cache"]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        yield Sam(folder, environment)


def test_each_function_answers_its_event(sam: Sam) -> None:
    text = sam.invoke("TextClassification", rest_event("POST", "/models/sentiment-en", PRAISE))
    assert text["statusCode"] == 200, text
    assert json.loads(text["body"])[0][0]["label"] == "positive"
    event = rest_event("POST", "/models/resnet20-cifar10", _picture("green"), {"content-type": "image/png"})
    image = sam.invoke("ImageClassification", event)
    assert image["statusCode"] == 200, image
    assert json.loads(image["body"])[0]["label"] == "green"
    catalog = sam.invoke("Catalog", rest_event("GET", "/models"))
    assert catalog["statusCode"] == 200, catalog
    names = {model["name"] for model in json.loads(catalog["body"])["models"]}
    assert {"sentiment-en", "sentiment-zh", "resnet20-cifar10"} <= names


def test_our_own_runtime_answers_whole_where_nothing_streams(sam: Sam) -> None:
    asked = {"inputs": "ROMEO:", "parameters": {"max_new_tokens": 3}, "stream": True}
    answer = sam.invoke("TextGeneration", rest_event("POST", "/models/gpt-shakespeare", json.dumps(asked)))
    assert answer["statusCode"] == 200, answer
    assert answer["headers"]["x-hearth-stream"] == "buffered"
    assert answer["body"].count("data:") == 3


def test_the_api_answers_text_and_pictures(sam: Sam) -> None:
    with sam.api() as port:
        for _ in range(2):
            status, answer = _post(port, "/models/sentiment-en", PRAISE, "application/json")
            assert status == 200, answer
            assert answer[0][0]["label"] == "positive"
        status, answer = _post(
            port, "/models/sentiment-zh", '{"inputs": "这个电影真的很糟糕"}'.encode(), "application/json"
        )
        assert (status, answer[0][0]["label"]) == (200, "negative")
        for colour in ("red", "blue"):
            status, answer = _post(port, "/models/resnet20-cifar10", _picture(colour), "image/png")
            assert status == 200, answer
            assert answer[0]["label"] == colour


def _picture(colour: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (48, 40), colour).save(file, "PNG")
    return file.getvalue()


def _post(port: int, path: str, body: bytes, content_type: str) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    try:
        connection.request("POST", path, body, {"content-type": content_type})
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()
