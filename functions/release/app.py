"""CodeDeploy's BeforeAllowTraffic hook: a new function version must reproduce golden answers before it gets traffic."""

from __future__ import annotations

import json
from typing import Any

from hearth.aws.client import Endpoint
from hearth.aws.credentials import domain, endpoint_override, region
from hearth.errors import BadRequest, HearthError, StoreError
from hearth.telemetry.log import logger

READ_SECONDS = 840.0
"""A version downloads and loads a model of each task, which takes minutes in an environment of one processor."""
TARGET = "CodeDeploy_20141006"


def handler(event: Any, context: Any) -> dict[str, Any]:
    """Check the versions to which a deployment will move traffic, and report to CodeDeploy.

    Any error fails the deployment, which then does not move the traffic.
    """
    if not isinstance(event, dict) or "DeploymentId" not in event:
        failure = BadRequest("This function is CodeDeploy's hook; it takes a DeploymentId")
        return {"error": failure.message, "error_type": failure.code}
    report: dict[str, Any] = {}
    passed = False
    try:
        for name, version in target_versions(event["DeploymentId"]):
            report[f"{name}:{version}"] = result = check_golden_answers(name, version)
            passed = result.get("passed") is True
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
    """The functions of a deployment, and the versions to which it moves their traffic. Raises OSError, StoreError."""
    response = call_codedeploy("GetDeployment", {"deploymentId": deployment})
    try:
        revision = response["deploymentInfo"]["revision"]
        content = (revision.get("appSpecContent") or revision["string"])["content"]
        resources = json.loads(content)["Resources"]
        functions = [function["Properties"] for resource in resources for function in resource.values()]
        versions = [(function["Name"], function["TargetVersion"]) for function in functions]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise StoreError(f"Deployment {deployment} has no AppSpec of functions as JSON") from error
    if not versions:
        raise StoreError(f"Deployment {deployment} names no function")
    return versions


def check_golden_answers(name: str, version: str) -> dict[str, Any]:
    """Send a golden event to a version and return its report. Raises OSError, StoreError."""
    service = Endpoint(service_address("lambda"), "lambda", read_seconds=READ_SECONDS)
    path = f"/2015-03-31/functions/{name}/invocations"
    response = service.send("POST", path, f"Qualifier={version}", body=b'{"golden": true}')
    raw = response.read()
    if response.status != 200 or response.headers.get("x-amz-function-error"):
        raise StoreError(f"{name}:{version} ended with {response.status} {raw[:300].decode(errors='replace')}")
    try:
        report: Any = json.loads(raw)
    except ValueError:
        report = None
    if not isinstance(report, dict):
        raise StoreError(f"{name}:{version} does not support golden events: {raw[:300].decode(errors='replace')}")
    return report


def call_codedeploy(action: str, values: dict[str, Any]) -> dict[str, Any]:
    """Call an action of CodeDeploy's JSON protocol. Raises OSError, StoreError."""
    headers = {"content-type": "application/x-amz-json-1.1", "x-amz-target": f"{TARGET}.{action}"}
    service = Endpoint(service_address("codedeploy"), "codedeploy")
    response = service.send("POST", "/", "", headers, json.dumps(values).encode())
    raw = response.read()
    if response.status != 200:
        raise StoreError(f"CodeDeploy returned {response.status} for {action}: {raw[:300].decode(errors='replace')}")
    result: dict[str, Any] = json.loads(raw or b"{}")
    return result


def service_address(service: str) -> str:
    return endpoint_override(service) or f"https://{service}.{region()}.{domain(region())}"
