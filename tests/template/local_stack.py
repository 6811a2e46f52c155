"""A local AWS (ministack): TLS, signatures and roles are enforced; functions are processes of Python 3.13."""

from __future__ import annotations

import fcntl
import io
import json
import os
import signal
import ssl
import subprocess
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import WaiterError

from hearth_build.cloud.dedicated import Dedicated, expand
from tests.support.emulator import free_port
from tests.support.layers import FUNCTIONS, SHARED, code_of, layer
from tests.template.rules.registry import statements
from tests.template.stack import TEMPLATE, Template, as_number, of_type, parse, translate
from tests.tools import tool

if TYPE_CHECKING:
    import pytest

STACK = "hearth"
KEYS = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
CODE: dict[str, Path | str] = {
    "Shared": code_of(SHARED),
    "Jobs": code_of(SHARED),
    "Catalog": code_of("catalog"),
    "Release": code_of("release"),
    **{f"{name.title()}Layer": name for name in FUNCTIONS[SHARED]},
}
"""Source of each CodeUri and ContentUri: a folder, or the name of a layer."""

UNSUPPORTED_TYPES = ("AWS::CodeDeploy::",)
"""Prefixes of the resource types that ministack lacks: new versions take all traffic at once. It also lacks alarms that
calculate with metrics."""


@dataclass(frozen=True)
class Aws:
    url: str
    certificate: Path

    def adopt(self, patch: pytest.MonkeyPatch) -> None:
        """Make this process and its commands use this AWS."""
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        for name, value in {
            "AWS_ACCESS_KEY_ID": KEYS["aws_access_key_id"],
            "AWS_SECRET_ACCESS_KEY": KEYS["aws_secret_access_key"],
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self.url,
            "AWS_CA_BUNDLE": str(self.certificate),
            "SSL_CERT_FILE": str(self.certificate),
        }.items():
            patch.setenv(name, value)

    def client(self, service: str, **session: str) -> Any:
        import boto3

        return boto3.client(service, endpoint_url=self.url, verify=str(self.certificate), **(session or KEYS))


@dataclass(frozen=True)
class Stack:
    aws: Aws
    outputs: dict[str, str]
    resources: dict[str, str]
    """Physical ids by logical id."""
    types: dict[str, str]
    """Types of resources by logical id."""
    api_key: str

    @property
    def address(self) -> str:
        """Of the API, ending in a slash."""
        return f"{self.aws.url}/restapis/{self.resources['Api']}/prod/_user_request_/"

    def call(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        key: str | None = None,
        content_type: str = "application/json",
    ) -> tuple[int, bytes]:
        """Send a request through API Gateway; return status and body. `key` replaces the stack's own key."""
        address = self.address.removesuffix("/") + path
        headers = {"content-type": content_type, "x-api-key": self.api_key if key is None else key}
        request = urllib.request.Request(address, body, headers, method=method)
        context = ssl.create_default_context(cafile=str(self.aws.certificate))
        try:
            with urllib.request.urlopen(request, timeout=60, context=context) as response:
                return response.status, response.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()


@contextmanager
def local_aws(scratch: Path) -> Iterator[Aws]:
    """A fresh ministack on a free port; its log is `scratch/ministack.log`."""
    certificate, private_key = _certificate(scratch)
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")} | {
        "AUTH": "true",
        "BIND_HOST": "127.0.0.1",  # the default is every interface
        "GATEWAY_PORT": str(port),
        "MINISTACK_HOST": "127.0.0.1",
        "DOCKER_HOST": "unix:///nonexistent",
        "USE_SSL": "1",
        "IOT_MTLS_ENABLED": "0",
        "MINISTACK_SSL_CERT": str(certificate),
        "MINISTACK_SSL_KEY": str(private_key),
        "SSL_CERT_FILE": str(certificate),
        "AWS_CA_BUNDLE": str(certificate),
        "TMPDIR": str(scratch),
    }
    aws = Aws(f"https://127.0.0.1:{port}", certificate)
    program = tool("ministack") / "bin/ministack"
    with (scratch / "ministack.log").open("w") as log, (program.parent / "start.lock").open("w") as lock:
        # One after another: the first takes port 443 if it is free, and two at once would both try.
        fcntl.flock(lock, fcntl.LOCK_EX)
        process = subprocess.Popen([program], env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            _wait_until_ready(aws, process)
            fcntl.flock(lock, fcntl.LOCK_UN)
            yield aws
        finally:
            # Kill it with its functions' processes; on SIGTERM it would wait for open connections.
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def deploy(aws: Aws, dedicated: Sequence[Dedicated] = (), **parameters: str) -> Stack:
    """Deploy template.yaml, with dedicated functions, with the code of this working tree."""
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="code")
    for name, source in (CODE | {row.id: code_of(row.row.function) for row in dedicated}).items():
        s3.put_object(Bucket="code", Key=f"{name}.zip", Body=_zip(layer(source) if isinstance(source, str) else source))
    template = adapt(translate(parse(expand(TEMPLATE.read_text(), dedicated)), "code"))
    s3.put_object(Bucket="code", Key="template.json", Body=json.dumps(template).encode())
    cloudformation = aws.client("cloudformation")
    cloudformation.create_stack(
        StackName=STACK,
        TemplateURL=f"{aws.url}/code/template.json",
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"],
        Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()],
    )
    _wait_until_created(cloudformation)
    description = cloudformation.describe_stacks(StackName=STACK)["Stacks"][0]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in description["Outputs"]}
    resources = cloudformation.describe_stack_resources(StackName=STACK)["StackResources"]
    ids = {resource["LogicalResourceId"]: resource["PhysicalResourceId"] for resource in resources}
    types = {resource["LogicalResourceId"]: resource["ResourceType"] for resource in resources}
    gateway = aws.client("apigateway")
    _put_gateway_responses(gateway, ids["Api"], template)
    key = gateway.get_api_key(apiKey=outputs["ApiKeyId"], includeValue=True)["value"]
    return Stack(aws, outputs, ids, types, key)


def _wait_until_created(cloudformation: Any) -> None:
    try:
        cloudformation.get_waiter("stack_create_complete").wait(StackName=STACK, WaiterConfig={"Delay": 1})
    except WaiterError as error:
        pages = cloudformation.get_paginator("describe_stack_events").paginate(StackName=STACK)
        reasons = [
            f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason')}"
            for page in pages
            for event in page["StackEvents"]
            if event["ResourceStatus"].endswith("FAILED")
        ]
        raise RuntimeError("the stack cannot be created:\n" + "\n".join(reasons)) from error


def _put_gateway_responses(gateway: Any, api: str, template: Template) -> None:
    """Configure the gateway responses, which ministack ignores in an imported document."""
    responses = template["Resources"]["Api"]["Properties"]["Body"]["x-amazon-apigateway-gateway-responses"]
    for kind, response in responses.items():
        gateway.put_gateway_response(restApiId=api, responseType=kind, **response)
    operation = {"op": "replace", "path": "/deploymentId", "value": gateway.create_deployment(restApiId=api)["id"]}
    gateway.update_stage(restApiId=api, stageName="prod", patchOperations=[operation])


def adapt(template: Template) -> Template:
    """The template without what ministack lacks; docs/testing/emulators.md says which tests that weakens."""
    resources = {
        name: {field: value for field, value in resource.items() if field != "UpdatePolicy"}
        for name, resource in template["Resources"].items()
        if not resource["Type"].startswith(UNSUPPORTED_TYPES) and "Metrics" not in resource.get("Properties", {})
    }
    for _, mapping in of_type(template, "Lambda::EventSourceMapping"):
        scaling = mapping["ScalingConfig"]  # a parameter of ministack is a text, with which this one cannot be compared
        scaling["MaximumConcurrency"] = as_number(template, scaling["MaximumConcurrency"])
    for statement in statements(resources["JobsRole"]["Properties"]):
        if statement["Action"] == "events:PutEvents":
            del statement["Condition"]  # ministack gives events:source no value
    # CloudFormation reads ~1 in a media type as a slash, ministack does not. It cannot stream, and runs every function
    # under a runtime of its own, which buffers responses.
    text = json.dumps(template | {"Resources": resources}).replace("*~1*", "*/*")
    text = text.replace("/2021-11-15/", "/2015-03-31/").replace("/response-streaming-invocations", "/invocations")
    return json.loads(text)


def _zip(folder: Path) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and (path.suffix != ".pyc" or folder.parts[-2] != "functions"):
                archive.write(path, path.relative_to(folder))
    return file.getvalue()


def _certificate(scratch: Path) -> tuple[Path, Path]:
    """A certificate and private key for 127.0.0.1, for this run only."""
    certificate, private_key = scratch / "certificate.pem", scratch / "private.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(private_key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, private_key


def _wait_until_ready(aws: Aws, process: subprocess.Popen[bytes]) -> None:
    context = ssl.create_default_context(cafile=str(aws.certificate))
    for _ in range(300):
        if process.poll() is not None:
            raise RuntimeError(f"ministack ended with {process.returncode}; see its log")
        try:
            urllib.request.urlopen(f"{aws.url}/_ministack/health", timeout=2, context=context).close()
            return
        except OSError:
            time.sleep(0.1)
    raise TimeoutError("ministack did not respond in 30 s; see its log")
