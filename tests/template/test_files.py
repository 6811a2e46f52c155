"""Large inputs and batches of the deployed stack, by its API, its state machine and the commands."""

from __future__ import annotations

import json
import ssl
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from hearth_build.cli.main import app
from hearth_build.cloud.batch_run import start, watch
from hearth_build.cloud.stack import stack as described
from tests.runtime.async_inference.test_uploads import post_form
from tests.template.local_stack import STACK, Stack
from tests.template.test_deploy import eventually, picture

MODEL = "resnet20-cifar10"


@pytest.fixture
def account(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Stack:
    """This process asks the local AWS, as its commands do."""
    stack.aws.adopt(monkeypatch)
    return stack


def ask(stack: Stack, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    status, answer = stack.call(method, path, json.dumps(body).encode() if body is not None else None)
    return status, json.loads(answer or b"null")


def test_a_large_input_by_the_api(stack: Stack) -> None:
    data, context = picture(), ssl.create_default_context(cafile=str(stack.aws.certificate))
    wish = {"model": MODEL, "content_type": "image/png", "size": len(data)}
    status, ticket = ask(stack, "POST", "/uploads", wish)
    assert status == 201, ticket
    place, call = f"/results/{ticket['id']}", {"inputs": {"upload": ticket["id"]}, "parameters": {"top_k": 1}}
    assert ask(stack, "GET", place)[0] == 404
    assert ask(stack, "POST", f"/models/{MODEL}", call)[0] == 404
    assert post_form(ticket["url"], ticket["fields"], data + b"x", context) == 400
    assert post_form(ticket["url"], ticket["fields"], data, context) == 204
    status, answer = ask(stack, "POST", f"/models/{MODEL}", call)
    assert (status, len(answer)) == (200, 1), answer
    result = eventually(lambda: answer if (answer := ask(stack, "GET", place))[0] == 200 else None)[1]
    assert (result["model"], result["input"]["key"]) == (MODEL, ticket["key"])
    assert ask(stack, "DELETE", place)[0] == 204
    assert ask(stack, "GET", place)[0] == 404
    versions = stack.aws.client("s3").list_object_versions(
        Bucket=stack.outputs["UploadBucketName"], Prefix=ticket["key"]
    )
    assert not versions.get("Versions")
    assert not versions.get("DeleteMarkers")


def test_a_batch_by_the_state_machine(account: Stack) -> None:
    s3, machine = account.aws.client("s3"), account.aws.client("stepfunctions")
    uploads, results = (account.outputs[f"{name}BucketName"] for name in ("Upload", "Result"))
    for number in range(6):
        body = b"no picture" if number == 4 else picture()
        s3.put_object(Bucket=uploads, Key=f"batch/{MODEL}/é {number}.png", Body=body)
    # ministack reads listings, and makes no batches of their items: each comes alone, in a batch's form.
    arn = account.outputs["BatchMachineArn"]
    definition = json.loads(machine.describe_state_machine(stateMachineArn=arn)["definition"])
    state = definition["States"]["Objects"]
    batcher = state.pop("ItemBatcher")
    assert batcher["MaxItemsPerBatchPath"] == "$.items_per_batch"
    state["ItemSelector"] = {"BatchInput": batcher["BatchInput"], "Items.$": "States.Array($$.Map.Item.Value)"}
    state |= {"ToleratedFailurePercentage": 50, "MaxConcurrency": 1}  # it reads neither by a path; one warm function
    machine.update_state_machine(stateMachineArn=arn, definition=json.dumps(definition))
    options = {"items_per_batch": 2, "concurrency": 2, "tolerated_percent": 50}
    deployed = described(STACK)
    execution, run = start(deployed, MODEL, f"s3://{uploads}/batch/{MODEL}/", options, None)
    status, counts, why = list(watch(execution, 0.2))[-1]
    assert (status, why) == ("SUCCEEDED", "")
    assert (counts["total"], counts["failed"]) == (6, 1), "a batch of which nothing is done counts as failed"
    written = s3.list_objects_v2(Bucket=results, Prefix=f"results/{run}/")["Contents"]
    assert [row["Key"] for row in written] == [
        f"results/{run}/batch/{MODEL}/é {number}.png.json" for number in (0, 1, 2, 3, 5)
    ]
    state["ToleratedFailurePercentage"] = 0
    machine.update_state_machine(stateMachineArn=arn, definition=json.dumps(definition))
    execution, _ = start(deployed, MODEL, f"s3://{uploads}/batch/{MODEL}/", options, None)
    status, _, why = list(watch(execution, 0.2))[-1]
    assert status == "FAILED"
    assert "ExceedToleratedFailureThreshold" in why
    with pytest.raises(Exception, match=f"s3://{uploads}/batch/{MODEL}/ only"):
        start(deployed, MODEL, f"s3://{results}/results/", options, None)


def test_the_doctor_of_the_deployment(account: Stack, tmp_path: Path) -> None:
    url = f"{account.aws.url}/restapis/{account.resources['Api']}/prod/_user_request_"
    command = ["doctor", "--stack", STACK, "--url", url]
    for name in account.resources:
        if name.endswith("DeadLetters"):  # other tests of this stack leave some
            account.aws.client("sqs").purge_queue(QueueUrl=account.resources[name])
    run = CliRunner().invoke(app, command)
    assert run.exit_code == 0, (run.output, run.exception)
    for said in (
        "sentiment-en@1 answers",
        f"{MODEL}@1 answers",
        "alarms rings",
        "dead-letter queues are empty",
        "clock",
    ):
        assert said in run.output, said
    sqs, letters = account.aws.client("sqs"), account.resources["FillMaskDeadLetters"]
    sqs.send_message(QueueUrl=letters, MessageBody="x")
    alarm = account.resources["FillMaskErrors"]
    watch = account.aws.client("cloudwatch")
    watch.set_alarm_state(AlarmName=alarm, StateValue="ALARM", StateReason="a test")
    try:
        bad = CliRunner().invoke(app, command)
        assert bad.exit_code == 1
        assert "FillMaskDeadLetters holds 1 messages" in bad.output
        assert f"Alarm {alarm} rings" in bad.output
    finally:
        sqs.purge_queue(QueueUrl=letters)
        watch.set_alarm_state(AlarmName=alarm, StateValue="OK", StateReason="a test")
    assert "Stack none cannot be read" in CliRunner().invoke(app, ["doctor", "--stack", "none"]).output
