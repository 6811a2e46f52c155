"""CodeDeploy's hook before traffic: a new version of a function gives golden answers, or gets no traffic."""

from __future__ import annotations

import json
from typing import Any

from hearth.aws.client import Endpoint
from hearth.aws.credentials import domain, endpoint_override, region
from hearth.errors import BadRequest, HearthError, StoreError
from hearth.telemetry.log import logger

READ_SECONDS = 60.0
"""A version starts, fetches, loads and answers within its own timeout, 29 s; AWS adds the time to set it up."""
TARGET = "CodeDeploy_20141006"


def handler(event: Any, context: Any) -> dict[str, Any]:
    """Judge the versions that a deployment is about to move traffic to, and report to CodeDeploy.

    Whatever goes wrong is a failure of the deployment, which then leaves the traffic where it is.
    """
    if not isinstance(event, dict) or "DeploymentId" not in event:
        failure = BadRequest("This function is CodeDeploy's hook; it takes a DeploymentId")
        return {"error": failure.message, "error_type": failure.code}
    report: dict[str, Any] = {}
    passed = False
    try:
        for name, version in target_versions(event["DeploymentId"]):
            report[f"{name}:{version}"] = answer = golden_answers(name, version)
            passed = answer.get("passed") is True
            if not passed:
                break
    except (HearthError, OSError) as error:
        report["error"] = str(error)
        passed = False
    status = "Succeeded" if passed else "Failed"
    logger().info("release", extra={"deployment": event["DeploymentId"], "status": status, "report": report})
    hook = {"lifecycleEventHookExecutionId": event.get("LifecycleEventHookExecutionId"), "status": status}
    call_codedeploy("PutLifecycleEventHookExecutionStatus", {"deploymentId": event["DeploymentId"], **hook})
    return {"status": status, "report": report}


def target_versions(deployment: str) -> list[tuple[str, str]]:
    """Functions and the versions that the deployment moves their traffic to. Raises OSError, StoreError."""
    answer = call_codedeploy("GetDeployment", {"deploymentId": deployment})
    try:
        revision = answer["deploymentInfo"]["revision"]
        content = (revision.get("appSpecContent") or revision["string"])["content"]
        resources = json.loads(content)["Resources"]
        functions = [function["Properties"] for resource in resources for function in resource.values()]
        versions = [(function["Name"], function["TargetVersion"]) for function in functions]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise StoreError(f"Deployment {deployment} has no AppSpec of functions as JSON") from error
    if not versions:
        raise StoreError(f"Deployment {deployment} names no function")
    return versions


def golden_answers(name: str, version: str) -> dict[str, Any]:
    """What a version answers to a golden event. Raises OSError, StoreError."""
    service = Endpoint(service_address("lambda"), "lambda", read_seconds=READ_SECONDS)
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


def call_codedeploy(action: str, values: dict[str, Any]) -> dict[str, Any]:
    """One action of CodeDeploy's JSON protocol. Raises OSError, StoreError."""
    headers = {"content-type": "application/x-amz-json-1.1", "x-amz-target": f"{TARGET}.{action}"}
    service = Endpoint(service_address("codedeploy"), "codedeploy")
    response = service.send("POST", "/", "", headers, json.dumps(values).encode())
    raw = response.read()
    if response.status != 200:
        raise StoreError(f"CodeDeploy answered {response.status} to {action}: {raw[:300].decode(errors='replace')}")
    answer: dict[str, Any] = json.loads(raw or b"{}")
    return answer


def service_address(service: str) -> str:
    return endpoint_override(service) or f"https://{service}.{region()}.{domain(region())}"
