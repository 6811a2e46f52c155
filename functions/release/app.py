"""CodeDeploy's hook before traffic: a new version of a function gives its models' golden answers, or gets none."""

from __future__ import annotations

import json
from typing import Any

from hearth.errors import BadRequest, HearthError, StoreError
from hearth.aws.client import Endpoint
from hearth.aws.credentials import domain, emulator, region

INVOKED_SECONDS = 60.0
"""A version starts, fetches, loads and answers within its own timeout, 29 s; AWS adds the making of it."""
TARGET = "CodeDeploy_20141006"


def handler(event: Any, context: Any) -> dict[str, Any]:
    """Judge the versions that a deployment is about to move traffic to, and tell CodeDeploy.

    Whatever goes wrong is a failure of the deployment: it leaves the traffic where it is.
    """
    if not isinstance(event, dict) or "DeploymentId" not in event:
        failure = BadRequest("This function is CodeDeploy's hook; it takes a DeploymentId")
        return {"error": failure.message, "error_type": failure.code}
    told: dict[str, Any] = {}
    passed = False
    try:
        for name, version in versions_of(event["DeploymentId"]):
            told[f"{name}:{version}"] = answer = golden_answers(name, version)
            passed = answer.get("passed") is True
            if not passed:
                break
    except (HearthError, OSError) as error:
        told["error"] = str(error)
        passed = False
    status = "Succeeded" if passed else "Failed"
    from hearth.telemetry import log  # brings botocore, which a cold start does without

    log.logger().info("release", extra={"deployment": event["DeploymentId"], "status": status, "told": told})
    hook = {"lifecycleEventHookExecutionId": event.get("LifecycleEventHookExecutionId"), "status": status}
    codedeploy("PutLifecycleEventHookExecutionStatus", {"deploymentId": event["DeploymentId"], **hook})
    return {"status": status, "told": told}


def versions_of(deployment: str) -> list[tuple[str, str]]:
    """Functions and the versions that the deployment moves their traffic to.

    Raises OSError, HTTPException, StoreError.
    """
    answer = codedeploy("GetDeployment", {"deploymentId": deployment})
    try:
        revision = answer["deploymentInfo"]["revision"]
        content = (revision.get("appSpecContent") or revision["string"])["content"]
        functions = [one["Properties"] for resource in json.loads(content)["Resources"] for one in resource.values()]
        found = [(function["Name"], function["TargetVersion"]) for function in functions]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise StoreError(f"Deployment {deployment} has no AppSpec of functions as JSON") from error
    if not found:
        raise StoreError(f"Deployment {deployment} names no function")
    return found


def golden_answers(name: str, version: str) -> dict[str, Any]:
    """What a version says to a golden event. Raises OSError, HTTPException, StoreError."""
    service = Endpoint(address_of("lambda"), "lambda", read_seconds=INVOKED_SECONDS)
    path = f"/2015-03-31/functions/{name}/invocations"
    response = service.send("POST", path, f"Qualifier={version}", body=b'{"golden": true}')
    raw = response.read()
    if response.status != 200 or response.headers.get("x-amz-function-error"):
        raise StoreError(f"{name}:{version} ended with {response.status} {raw[:300].decode(errors='replace')}")
    try:
        answer: Any = json.loads(raw)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise StoreError(f"{name}:{version} does not answer golden events: {raw[:300].decode(errors='replace')}")
    return answer


def codedeploy(action: str, values: dict[str, Any]) -> dict[str, Any]:
    """One action of CodeDeploy's JSON protocol. Raises OSError, HTTPException, StoreError."""
    headers = {"content-type": "application/x-amz-json-1.1", "x-amz-target": f"{TARGET}.{action}"}
    service = Endpoint(address_of("codedeploy"), "codedeploy")  # its connection closes with it, the answer unread
    response = service.send("POST", "/", "", headers, json.dumps(values).encode())
    raw = response.read()
    if response.status != 200:
        raise StoreError(f"CodeDeploy answered {response.status} to {action}: {raw[:300].decode(errors='replace')}")
    answer: dict[str, Any] = json.loads(raw or b"{}")
    return answer


def address_of(service: str) -> str:
    return emulator(service) or f"https://{service}.{region()}.{domain(region())}"
