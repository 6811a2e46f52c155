"""SAM CLI on the built template: `invoke`, `start-api` and `start-lambda`, in containers of our own engine."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.containers import docker
from tests.support.emulator import free_port
from tests.support.layers import ROOT, python313
from tests.template.stack import read
from tests.tools import tool

LAYER = "arn:aws:lambda:us-east-1:123456789012:layer:{}:1"


@dataclass(frozen=True)
class Sam:
    folder: Path
    environment: dict[str, str]

    @property
    def arguments(self) -> list[str]:
        return [
            *("--template", str(self.folder / "built/local.json")),
            *("--env-vars", str(self.folder / "variables.json")),
            *("--layer-cache-basedir", str(self.folder / "layers")),
            "--skip-pull-image",
        ]

    def invoke(self, function: str, event: object) -> Any:
        """Run `sam local invoke` with one event in a new container. Raises RuntimeError with SAM's message."""
        command = [tool("sam") / "bin/sam", "local", "invoke", function, "--event", "-", *self.arguments]
        result = subprocess.run(command, input=json.dumps(event), env=self.environment, capture_output=True, text=True)
        if result.returncode or not result.stdout.strip():  # SAM ends with 0 where the function's time was over
            raise RuntimeError(result.stderr)
        # The function's log goes to stderr; its output is the last line.
        return json.loads(result.stdout.strip().splitlines()[-1])

    @contextmanager
    def running(self, name: str) -> Iterator[int]:
        """Run `sam local <name>`, whose containers stay warm after their first call; yield its port."""
        port = free_port()
        command = [tool("sam") / "bin/sam", "local", name, "--port", str(port), *self.arguments]
        command += ["--host", "127.0.0.1", "--warm-containers", "LAZY"]
        log = self.folder / f"{name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, env=self.environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
            try:
                deadline = time.monotonic() + 120
                while b"Running on" not in log.read_bytes():
                    if process.poll() is not None or time.monotonic() > deadline:
                        raise RuntimeError(f"sam local {name} did not start:\n{log.read_text()}")
                    time.sleep(0.2)
                yield port
            finally:
                process.terminate()
                process.wait(30)


def build(folder: Path, environment: dict[str, str], variables: dict[str, str]) -> Sam:
    """Run `sam build` of template.yaml into `folder`; the functions get `variables`."""
    # SAM looks for the interpreter of the function's version only on PATH.
    environment = environment | {"PATH": f"{python313().parent}{os.pathsep}{os.environ['PATH']}"}
    environment |= {"HOME": str(folder), "SAM_CLI_TELEMETRY": "0"}
    command = [tool("sam") / "bin/sam", "build", "--template", ROOT / "template.yaml"]
    command += ["--build-dir", folder / "built", "--cache-dir", folder / "cache"]
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    _localise(folder, variables)
    _forget_images(environment)
    return Sam(folder, environment)


def _forget_images(environment: dict[str, str]) -> None:
    """Remove images with layers: SAM identifies them only by the layers' names and would use those of an older run."""
    images = docker("images", "--quiet", "samcli/lambda-python", environment=environment).split()
    if images:
        docker("image", "rm", "--force", *images, environment=environment)


def _localise(folder: Path, variables: dict[str, str]) -> None:
    """Write the built template as `built/local.json`, with all `variables` declared and layers by ARN.

    SAM local sets only variables that the template declares. For layers in the template, SAM builds an image at every
    cold start; layers by ARN look as if they had been published and downloaded before.
    """
    template = read(folder / "built/template.yaml")
    declared = template["Globals"]["Function"]["Environment"]["Variables"]
    # Starting a container and loading count as the function's time, and the machine may be busy with other tests.
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["Timeout"] = 300
    declared.update({name: declared.get(name, "") for name in variables})
    for name, resource in template["Resources"].items():
        if resource["Type"] == "AWS::Serverless::LayerVersion":
            arn = LAYER.format(name)
            fetched = folder / "layers" / f"{name}-1-{hashlib.sha256(arn.encode()).hexdigest()[:10]}"
            fetched.parent.mkdir(exist_ok=True)
            (folder / "built" / name).rename(fetched)
        elif "Layers" in resource.get("Properties", {}):
            resource["Properties"]["Layers"] = [
                LAYER.format(layer["Ref"]) for layer in resource["Properties"]["Layers"]
            ]
    for methods in template["Resources"]["Api"]["Properties"]["DefinitionBody"]["paths"].values():
        for operation in methods.values():
            integration = operation["x-amazon-apigateway-integration"]
            text, values = integration["uri"]["Fn::Sub"]  # SAM's local API reads only ${Function.Arn}
            function = values["Alias"]["Ref"].removesuffix(".Alias")
            integration["uri"] = {"Fn::Sub": text.replace("${Alias}", f"${{{function}.Arn}}")}
    (folder / "built/local.json").write_text(json.dumps(template))
    (folder / "variables.json").write_text(json.dumps({"Parameters": variables}))
