"""Large inputs and batches on the deployed stack, through its API, its state machine and the command line."""

from __future__ import annotations

import json
import ssl
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from hearth_build.cli.main import app
from hearth_build.cloud.batch_run import start_execution, watch_execution
from hearth_build.cloud.stack import describe_stack
from tests.runtime.async_inference.test_uploads import post_form
from tests.template.local_stack import STACK, Stack
from tests.template.test_deploy import eventually, picture

MODEL = "resnet20-cifar10"


@pytest.fixture
def account(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Stack:
    """The stack, with this process and its commands configured for the local AWS."""
    stack.aws.adopt(monkeypatch)
    return stack


def call(stack: Stack, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    status, content = stack.call(method, path, json.dumps(body).encode() if body is not None else None)
    return status, json.loads(content or b"null")


def test_a_large_input_by_the_api(stack: Stack) -> None:
    data, context = picture(), ssl.create_default_context(cafile=str(stack.aws.certificate))
    upload_request = {"model": MODEL, "content_type": "image/png", "size": len(data)}
    status, upload = call(stack, "POST", "/uploads", upload_request)
    assert status == 201, upload
    result_path, body = f"/results/{upload['id']}", {"inputs": {"upload": upload["id"]}, "parameters": {"top_k": 1}}
    assert call(stack, "GET", result_path)[0] == 404
    assert call(stack, "POST", f"/models/{MODEL}", body)[0] == 404
    assert post_form(upload["url"], upload["fields"], data + b"x", context) == 400
    assert post_form(upload["url"], upload["fields"], data, context) == 204
    status, output = call(stack, "POST", f"/models/{MODEL}", body)
    assert (status, len(output)) == (200, 1), output
    result = eventually(lambda: response if (response := call(stack, "GET", result_path))[0] == 200 else None)[1]
    assert (result["model"], result["input"]["key"]) == (MODEL, upload["key"])
    assert call(stack, "DELETE", result_path)[0] == 204
    assert call(stack, "GET", result_path)[0] == 404
    versions = stack.aws.client("s3").list_object_versions(
        Bucket=stack.outputs["UploadBucketName"], Prefix=upload["key"]
    )
    assert not versions.get("Versions")
    assert not versions.get("DeleteMarkers")


def test_a_batch_by_the_state_machine(account: Stack) -> None:
    s3, machine = account.aws.client("s3"), account.aws.client("stepfunctions")
    uploads, results = (account.outputs[f"{name}BucketName"] for name in ("Upload", "Result"))
    for number in range(6):
        body = b"no picture" if number == 4 else picture()
        s3.put_object(Bucket=uploads, Key=f"batch/{MODEL}/é {number}.png", Body=body)
    # ministack lists objects but does not batch them, so each item is sent as a batch of one.
    arn = account.outputs["BatchMachineArn"]
    definition = json.loads(machine.describe_state_machine(stateMachineArn=arn)["definition"])
    state = definition["States"]["Objects"]
    batcher = state.pop("ItemBatcher")
    assert batcher["MaxItemsPerBatchPath"] == "$.items_per_batch"
    state["ItemSelector"] = {"BatchInput": batcher["BatchInput"], "Items.$": "States.Array($$.Map.Item.Value)"}
    state |= {
        "ToleratedFailurePercentage": 50,
        "MaxConcurrency": 1,
    }  # ministack does not support the paths; one warm function
    machine.update_state_machine(stateMachineArn=arn, definition=json.dumps(definition))
    options = {"items_per_batch": 2, "concurrency": 2, "tolerated_percent": 50}
    deployed = describe_stack(STACK)
    execution, run = start_execution(deployed, MODEL, f"s3://{uploads}/batch/{MODEL}/", options, None)
    status, counts, cause = list(watch_execution(execution, 0.2))[-1]
    assert (status, cause) == ("SUCCEEDED", "")
    assert (counts["total"], counts["failed"]) == (6, 1), "a batch without any success counts as failed"
    objects = s3.list_objects_v2(Bucket=results, Prefix=f"results/{run}/")["Contents"]
    assert [row["Key"] for row in objects] == [
        f"results/{run}/batch/{MODEL}/é {number}.png.json" for number in (0, 1, 2, 3, 5)
    ]
    state["ToleratedFailurePercentage"] = 0
    machine.update_state_machine(stateMachineArn=arn, definition=json.dumps(definition))
    execution, _ = start_execution(deployed, MODEL, f"s3://{uploads}/batch/{MODEL}/", options, None)
    status, _, cause = list(watch_execution(execution, 0.2))[-1]
    assert status == "FAILED"
    assert "ExceedToleratedFailureThreshold" in cause
    with pytest.raises(Exception, match=f"must be in s3://{uploads}/batch/{MODEL}/, not in"):
        start_execution(deployed, MODEL, f"s3://{results}/results/", options, None)


def test_the_doctor_of_the_deployment(account: Stack, tmp_path: Path) -> None:
    url = account.address.removesuffix("/")
    command = ["doctor", "--stack", STACK, "--url", url]
    for name in account.resources:
        if name.endswith("DeadLetters"):  # other tests of this stack leave messages
            account.aws.client("sqs").purge_queue(QueueUrl=account.resources[name])
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, (result.output, result.exception)
    for message in (
        "sentiment-en@1 processed",
        f"{MODEL}@1 processed",
        "alarms is active",
        "dead-letter queues are empty",
        "clock",
    ):
        assert message in result.output, message
    sqs, queue_url = account.aws.client("sqs"), account.resources["DeadLetters"]
    sqs.send_message(QueueUrl=queue_url, MessageBody="x")
    alarm = account.resources["JobsErrors"]
    cloudwatch = account.aws.client("cloudwatch")
    cloudwatch.set_alarm_state(AlarmName=alarm, StateValue="ALARM", StateReason="a test")
    try:
        failed = CliRunner().invoke(app, command)
        assert failed.exit_code == 1
        assert "DeadLetters has 1 messages" in failed.output
        assert f"Alarm {alarm} is active" in failed.output
    finally:
        sqs.purge_queue(QueueUrl=queue_url)
        cloudwatch.set_alarm_state(AlarmName=alarm, StateValue="OK", StateReason="a test")
    assert "Stack none cannot be read" in CliRunner().invoke(app, ["doctor", "--stack", "none"]).output
