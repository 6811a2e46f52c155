"""A deployment: its stack, its functions, its alarms and queues, and what its API answers."""

from __future__ import annotations

import email.utils
import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any

from hearth_build.cloud.finding import Finding, fine, note, wrong
from hearth_build.cloud.stack import AwsError, Stack, client, stack

OUTPUTS = ("ApiUrl", "ApiKeyId", "ArtifactBucketName", "UploadBucketName", "ResultBucketName", "BatchMachineArn")
SKEW = 300
"""Seconds from which on AWS refuses what is signed."""
SECONDS = 60
"""Of one answer; a cold start is in it."""


def deployment(name: str, url: str = "") -> Iterator[Finding]:
    """Of the stack `name`; `url` instead of its own, where a domain or a proxy stands before it."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        deployed = stack(name)
    except AwsError as error:
        yield wrong(f"{error}.")
        return
    yield _status(deployed)
    missing = [key for key in OUTPUTS if key not in deployed.outputs]
    if missing:
        yield wrong(f"{name} has no output {', '.join(missing)}: it is not of this template, or of an older one.")
    for look in (_functions, _alarms, _dead_letters):
        try:
            yield from look(deployed)
        except (BotoCoreError, ClientError) as error:
            yield wrong(f"{look.__name__.strip('_').replace('_', ' ').capitalize()} cannot be looked at: {error}.")
    try:
        key = client("apigateway").get_api_key(apiKey=deployed.outputs.get("ApiKeyId", ""), includeValue=True)["value"]
    except (BotoCoreError, ClientError) as error:
        yield wrong(f"The API key cannot be read: {error}.")
        return
    yield from _api(url or deployed.outputs.get("ApiUrl", ""), key)


def _status(deployed: Stack) -> Finding:
    if deployed.status in ("CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE"):
        return fine(f"{deployed.name} is {deployed.status}.")
    if deployed.status == "UPDATE_ROLLBACK_COMPLETE":
        return wrong(f"The last update of {deployed.name} was taken back: its events in CloudFormation say why.")
    return wrong(f"{deployed.name} is {deployed.status}.")


def _functions(deployed: Stack) -> Iterator[Finding]:
    machine = client("lambda")
    names = deployed.of("AWS::Lambda::Function")
    for logical, physical in sorted(names.items()):
        found = machine.get_function_configuration(FunctionName=physical)
        state, update = found.get("State", "Active"), found.get("LastUpdateStatus", "Successful")
        if state not in ("Active", "Inactive"):  # inactive: not asked for long, it wakes by itself
            yield wrong(f"Function {logical} is {state}: {found.get('StateReason', 'no reason is given')}.")
        elif update == "Failed":
            yield wrong(f"The last update of function {logical} failed: {found.get('LastUpdateStatusReason', '')}.")
        elif not found.get("Environment", {}).get("Variables", {}).get("HEARTH_STORE"):
            yield wrong(f"Function {logical} has no HEARTH_STORE: it was changed by hand. Deploy again.")
    yield fine(f"There are {len(names)} functions.") if names else wrong(f"{deployed.name} has no function.")


def _alarms(deployed: Stack) -> Iterator[Finding]:
    names = list(deployed.of("AWS::CloudWatch::Alarm").values())
    watch = client("cloudwatch")
    ringing = []
    for start in range(0, len(names), 100):
        rows = watch.describe_alarms(AlarmNames=names[start : start + 100])["MetricAlarms"]
        ringing += [row for row in rows if row["StateValue"] == "ALARM"]
    for row in ringing:
        yield wrong(f"Alarm {row['AlarmName']} rings: {row.get('AlarmDescription') or row.get('StateReason', '')}.")
    if not names:
        yield wrong(f"{deployed.name} has no alarm.")
    elif not ringing:
        yield fine(f"None of {len(names)} alarms rings.")


def _dead_letters(deployed: Stack) -> Iterator[Finding]:
    queues = {name: url for name, url in deployed.of("AWS::SQS::Queue").items() if name.endswith("DeadLetters")}
    sqs, total = client("sqs"), 0
    for name, url in sorted(queues.items()):
        attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])[
            "Attributes"
        ]
        count = int(attributes["ApproximateNumberOfMessages"])
        total += count
        if count:
            yield wrong(f"{name} holds {count} messages: uploads that could not be answered; each says why.")
    if queues and not total:
        yield fine(f"{len(queues)} dead-letter queues are empty.")


def _api(url: str, key: str) -> Iterator[Finding]:
    status, body, headers = _get(f"{url}/v2/health/live", "")
    if status != 200:
        yield wrong(f"{url} does not answer its health path: {_words(status, body)}.")
        return
    yield fine(f"{url} answers.")
    yield from _skew(headers.get("date", ""))
    if _get(f"{url}/models", "")[0] not in (401, 403):
        yield wrong(f"{url}/models answers without a key.")
    status, body, _ = _get(f"{url}/models", key)
    if status != 200:
        yield wrong(f"{url}/models does not answer: {_words(status, body)}.")
        return
    models = json.loads(body)["models"]
    if not models:
        yield wrong("No model is published: hearth publish ARTIFACT --store s3://ARTIFACT-BUCKET/models --alias prod.")
    for model in models:
        yield _model(url, key, model)


def _model(url: str, key: str, model: Mapping[str, Any]) -> Finding:
    from hearth_build.release.served import tasks_of

    name, task = model["name"], model["task"]
    example = next(made.example for made in tasks_of(task) if made.id == task)
    began = time.monotonic()
    status, body, _ = _get(f"{url}/models/{name}", key, json.dumps(example).encode())
    if status != 200:
        return wrong(f"{name} does not answer its task's example: {_words(status, body)}.")
    return fine(f"{name}@{model['version']} answers its task's example in {time.monotonic() - began:.1f} s.")


def _skew(date: str) -> Iterator[Finding]:
    if not date:
        return
    skew = abs(email.utils.parsedate_to_datetime(date).timestamp() - time.time())
    if skew >= SKEW:
        yield wrong(f"This machine's clock is {skew:.0f} s from the API's: AWS refuses what it signs. Set the clock.")
    elif skew > 30:
        yield note(f"This machine's clock is {skew:.0f} s from the API's; from {SKEW} s on AWS refuses what it signs.")
    else:
        yield fine("This machine's clock is the API's.")


def _get(url: str, key: str, body: bytes | None = None) -> tuple[int, bytes, dict[str, str]]:
    """Status, body and headers in small letters; status 0 and the reason where nothing answered."""
    headers = {"content-type": "application/json"} | ({"x-api-key": key} if key else {})
    if not url.startswith(("https://", "http://")):
        return 0, b"it is no address", {}
    request = urllib.request.Request(url, body, headers)  # noqa: S310 -- checked above
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:  # noqa: S310
            return answer.status, answer.read(), {name.lower(): value for name, value in answer.headers.items()}
    except urllib.error.HTTPError as error:
        return error.code, error.read(), {}
    except OSError as error:
        return 0, str(error).encode(), {}


def _words(status: int, body: bytes) -> str:
    text = body[:200].decode("utf-8", "replace")
    return f"{status} {text}" if status else text
