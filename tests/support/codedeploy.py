"""The parts of CodeDeploy's and Lambda's HTTP APIs that a hook before traffic uses; stricter than AWS.

Signatures are checked with botocore's own code, and parameters against its model of the service.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import botocore.session
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.validate import validate_parameters

from tests.support.s3 import CREDENTIALS

MODEL = botocore.session.get_session().get_service_model("codedeploy")
Version = Callable[[bytes], tuple[int, bytes]]
"""A version of a function: takes an event, returns status and body of Lambda's response."""


class Refused(Exception):
    """An error of the service, by its name."""


@dataclass
class Deployment:
    """A deployment of new versions of functions."""

    revision: dict[str, Any]
    hook: str = "hook-1"
    """The execution id with which the hook must report."""
    status: str = ""
    """The status that the hook reported."""


@dataclass
class Account:
    deployments: dict[str, Deployment] = field(default_factory=dict)
    versions: dict[str, Version] = field(default_factory=dict)
    """The versions of functions, by `name:version`."""
    invoked: list[str] = field(default_factory=list)
    """The versions that were invoked, in order."""

    def deploy(self, deployment: Deployment, hook: Callable[[dict[str, str]], object]) -> str:
        """Invoke `hook` for a deployment and return the status; no report is a failure, like an error."""
        id = f"d-{len(self.deployments):09}"
        self.deployments[id] = deployment
        hook({"DeploymentId": id, "LifecycleEventHookExecutionId": deployment.hook})
        return deployment.status or "Failed"

    def act(self, action: str, values: dict[str, Any]) -> dict[str, Any]:
        """Perform an action of CodeDeploy. Raises Refused."""
        validate_parameters(values, MODEL.operation_model(action).input_shape)
        deployment = self.deployments.get(values["deploymentId"])
        if deployment is None:
            raise Refused("DeploymentDoesNotExistException")
        if action == "GetDeployment":
            return {"deploymentInfo": {"deploymentId": values["deploymentId"], "revision": deployment.revision}}
        if values["lifecycleEventHookExecutionId"] != deployment.hook:
            raise Refused("InvalidLifecycleEventHookExecutionIdException")
        if deployment.status:
            raise Refused("LifecycleEventAlreadyCompletedException")
        if values["status"] not in ("Succeeded", "Failed"):
            raise Refused("InvalidLifecycleEventHookExecutionStatusException")
        deployment.status = values["status"]
        return {"lifecycleEventHookExecutionId": deployment.hook}

    def invoke(self, name: str, event: bytes) -> tuple[int, bytes]:
        self.invoked.append(name)
        if name not in self.versions:
            return 404, b'{"Type": "User", "message": "Function not found"}'
        return self.versions[name](event)


def app_spec(*functions: Mapping[str, str]) -> dict[str, Any]:
    """Return the revision that CloudFormation writes for functions, each with `Name` and `TargetVersion`."""
    resources = [
        {
            function["Name"]: {
                "Type": "AWS::Lambda::Function",
                "Properties": {"Alias": "live", "CurrentVersion": "1", **function},
            }
        }
        for function in functions
    ]
    content = json.dumps({"version": 0.0, "Resources": resources, "Hooks": [{"BeforeAllowTraffic": "release"}]})
    return {"revisionType": "AppSpecContent", "appSpecContent": {"content": content}}


class AccountServer(ThreadingHTTPServer):
    def __init__(self, account: Account) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.account = account


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: AccountServer

    def log_message(self, *_: object) -> None:
        """Log nothing."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        url = urlsplit(self.path)
        service = "codedeploy" if url.path == "/" else "lambda"
        if not self._is_signed(service, body):
            self._respond(403, b'{"__type": "InvalidSignatureException"}')
        elif service == "codedeploy":
            self._act(body)
        else:
            _, _, _, name, _ = url.path.split("/")
            status, response_body = self.server.account.invoke(f"{name}:{parse_qs(url.query)['Qualifier'][0]}", body)
            # The emulator reports a function's error only in the body; Lambda also in a header.
            self._respond(
                status,
                response_body,
                **({"X-Amz-Function-Error": "Unhandled"} if b'"errorType"' in response_body else {}),
            )

    def _act(self, body: bytes) -> None:
        assert self.headers["Content-Type"] == "application/x-amz-json-1.1"
        prefix, _, action = self.headers["X-Amz-Target"].partition(".")
        assert prefix == MODEL.metadata["targetPrefix"]
        try:
            self._respond(200, json.dumps(self.server.account.act(action, json.loads(body))).encode())
        except Refused as refusal:
            self._respond(400, json.dumps({"__type": str(refusal)}).encode())

    def _is_signed(self, service: str, body: bytes) -> bool:
        authorization = dict(part.split("=", 1) for part in self.headers["Authorization"].partition(" ")[2].split(", "))
        names = authorization["SignedHeaders"].split(";")
        # botocore signs the host of the URL.
        url = f"http://{self.headers['Host']}{self.path}"
        request = AWSRequest("POST", url, {name: self.headers[name] for name in names}, body)
        request.context["timestamp"] = self.headers["X-Amz-Date"]
        credentials = Credentials(CREDENTIALS["AWS_ACCESS_KEY_ID"], CREDENTIALS["AWS_SECRET_ACCESS_KEY"])
        auth = SigV4Auth(credentials, service, CREDENTIALS["AWS_REGION"])
        expected = auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)
        return authorization["Signature"] == expected

    def _respond(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
