"""Check a deployment: its stack, its functions, its alarms and queues, and the responses of its API."""

from __future__ import annotations

import email.utils
import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any

from hearth_build.cloud.finding import Finding, note, ok, problem
from hearth_build.cloud.stack import AwsError, Stack, client, describe_stack

REQUIRED_OUTPUTS = (
    "ApiUrl",
    "ApiKeyId",
    "ArtifactBucketName",
    "UploadBucketName",
    "ResultBucketName",
    "BatchMachineArn",
)
MAX_SKEW_SECONDS = 300
"""Difference between the clocks from which on AWS rejects signed requests."""
NOTABLE_SKEW_SECONDS = 30
TIMEOUT_SECONDS = 60
"""Time limit for one HTTP request, including a cold start."""


def check_deployment(name: str, url: str = "") -> Iterator[Finding]:
    """Check the stack `name`. `url` replaces the stack's own URL if a custom domain or a proxy is in front of it."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        stack = describe_stack(name)
    except AwsError as error:
        yield problem(f"{error}.")
        return
    yield _check_status(stack)
    missing = [key for key in REQUIRED_OUTPUTS if key not in stack.outputs]
    if missing:
        yield problem(
            f"{name} has no output {', '.join(missing)}: it was created from another template, or from an older one."
        )
    for subject, check in (
        ("functions", _check_functions),
        ("alarms", _check_alarms),
        ("dead-letter queues", _check_dead_letters),
    ):
        try:
            yield from check(stack)
        except (BotoCoreError, ClientError) as error:
            yield problem(f"The {subject} cannot be checked: {error}.")
    try:
        key = client("apigateway").get_api_key(apiKey=stack.outputs.get("ApiKeyId", ""), includeValue=True)["value"]
    except (BotoCoreError, ClientError) as error:
        yield problem(f"The API key cannot be read: {error}.")
        return
    yield from _check_api(url or stack.outputs.get("ApiUrl", ""), key)


def _check_status(stack: Stack) -> Finding:
    if stack.status in ("CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE"):
        return ok(f"{stack.name} is {stack.status}.")
    if stack.status == "UPDATE_ROLLBACK_COMPLETE":
        return problem(f"The last update of {stack.name} was rolled back; its CloudFormation events give the reason.")
    return problem(f"{stack.name} is {stack.status}.")


def _check_functions(stack: Stack) -> Iterator[Finding]:
    lambda_client = client("lambda")
    functions = stack.resources_of("AWS::Lambda::Function")
    for logical, physical in sorted(functions.items()):
        configuration = lambda_client.get_function_configuration(FunctionName=physical)
        state, update = configuration.get("State", "Active"), configuration.get("LastUpdateStatus", "Successful")
        if state not in ("Active", "Inactive"):  # an idle function becomes Inactive, and active again when called
            yield problem(f"Function {logical} is {state}: {configuration.get('StateReason', 'no reason is given')}.")
        elif update == "Failed":
            reason = configuration.get("LastUpdateStatusReason", "")
            yield problem(f"The last update of function {logical} failed: {reason}.")
        elif not configuration.get("Environment", {}).get("Variables", {}).get("HEARTH_STORE"):
            yield problem(f"Function {logical} has no HEARTH_STORE; it was changed by hand. Run `hearth deploy` again.")
    yield ok(f"{len(functions)} functions are deployed.") if functions else problem(f"{stack.name} has no functions.")


def _check_alarms(stack: Stack) -> Iterator[Finding]:
    names = list(stack.resources_of("AWS::CloudWatch::Alarm").values())
    cloudwatch = client("cloudwatch")
    active = []
    for start in range(0, len(names), 100):
        alarms = cloudwatch.describe_alarms(AlarmNames=names[start : start + 100])["MetricAlarms"]
        active += [alarm for alarm in alarms if alarm["StateValue"] == "ALARM"]
    for alarm in active:
        reason = alarm.get("AlarmDescription") or alarm.get("StateReason", "")
        yield problem(f"Alarm {alarm['AlarmName']} is active: {reason}.")
    if not names:
        yield problem(f"{stack.name} has no alarms.")
    elif not active:
        yield ok(f"None of the {len(names)} alarms is active.")


def _check_dead_letters(stack: Stack) -> Iterator[Finding]:
    queues = {name: url for name, url in stack.resources_of("AWS::SQS::Queue").items() if name.endswith("DeadLetters")}
    sqs, total = client("sqs"), 0
    for name, url in sorted(queues.items()):
        response = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])
        count = int(response["Attributes"]["ApproximateNumberOfMessages"])
        total += count
        if count:
            yield problem(f"{name} has {count} messages of uploads that failed. Each message has the reason.")
    if queues and not total:
        yield ok(f"{len(queues)} dead-letter queues are empty.")


def _check_api(url: str, key: str) -> Iterator[Finding]:
    status, body, headers = _get(f"{url}/v2/health/live", "")
    if status != 200:
        yield problem(f"{url}/v2/health/live failed: {_excerpt(status, body)}.")
        return
    yield ok(f"{url} responds.")
    yield from _check_clock(headers.get("date", ""))
    if _get(f"{url}/models", "")[0] not in (401, 403):
        yield problem(f"{url}/models can be read without an API key.")
    status, body, _ = _get(f"{url}/models", key)
    if status != 200:
        yield problem(f"{url}/models failed: {_excerpt(status, body)}.")
        return
    models = json.loads(body)["models"]
    if not models:
        yield problem(
            "No model is published: hearth publish ARTIFACT --store s3://ARTIFACT-BUCKET/models --alias prod."
        )
    for model in models:
        yield _check_model(url, key, model)


def _check_model(url: str, key: str, model: Mapping[str, Any]) -> Finding:
    from hearth_build.release.served import tasks_of

    name, task_id = model["name"], model["task"]
    example = next(task.example for task in tasks_of(task_id) if task.id == task_id)
    started = time.monotonic()
    status, body, _ = _get(f"{url}/models/{name}", key, json.dumps(example).encode())
    if status != 200:
        return problem(f"{name} failed on the example of its task: {_excerpt(status, body)}.")
    seconds = time.monotonic() - started
    return ok(f"{name}@{model['version']} processed the example of its task in {seconds:.1f} s.")


def _check_clock(date: str) -> Iterator[Finding]:
    """Compare this machine's clock with the `Date` header of the API."""
    if not date:
        return
    skew = abs(email.utils.parsedate_to_datetime(date).timestamp() - time.time())
    if skew >= MAX_SKEW_SECONDS:
        yield problem(f"This machine's clock is {skew:.0f} s off, so AWS rejects its signed requests. Set the clock.")
    elif skew > NOTABLE_SKEW_SECONDS:
        yield note(f"This machine's clock is {skew:.0f} s off; from {MAX_SKEW_SECONDS} s AWS rejects signed requests.")
    else:
        yield ok("This machine's clock agrees with the API's.")


def _get(url: str, key: str, body: bytes | None = None) -> tuple[int, bytes, dict[str, str]]:
    """Status, body and headers with lower-case names. Status 0 and the reason if there was no response."""
    headers = {"content-type": "application/json"} | ({"x-api-key": key} if key else {})
    if not url.startswith(("https://", "http://")):
        return 0, b"not an http address", {}
    request = urllib.request.Request(url, body, headers)  # noqa: S310 -- checked above
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:  # noqa: S310
            return response.status, response.read(), {name.lower(): value for name, value in response.headers.items()}
    except urllib.error.HTTPError as error:
        return error.code, error.read(), {}
    except OSError as error:
        return 0, str(error).encode(), {}


def _excerpt(status: int, body: bytes) -> str:
    text = body[:200].decode("utf-8", "replace")
    return f"{status} {text}" if status else text
