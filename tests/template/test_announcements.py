"""A result of the deployed stack is announced, and the rule of docs/operate.md acts on it."""

from __future__ import annotations

import json
import re

from tests.support import ROOT
from tests.template.local_stack import Stack
from tests.template.test_deploy import eventually


def documented_pattern() -> str:
    text = (ROOT / "docs/operate.md").read_text(encoding="utf-8")
    found = re.search(r"(?s)```json\n(\{[^`]*Result Created[^`]*\})\n```", text)
    assert found, "docs/operate.md has the pattern of a rule"
    return found[1]


def test_a_rule_acts_on_negative_texts_alone(stack: Stack) -> None:
    sqs, events, s3 = (stack.aws.client(service) for service in ("sqs", "events", "s3"))
    queue = sqs.create_queue(QueueName="negative")["QueueUrl"]
    events.put_rule(Name="negative", EventPattern=documented_pattern())
    events.put_targets(Rule="negative", Targets=[{"Id": "queue", "Arn": "arn:aws:sqs:us-east-1:000000000000:negative"}])
    for name, text in (("good", b"a wonderful film"), ("bad", b"an awful, terrible film")):
        s3.put_object(Bucket=stack.outputs["UploadBucketName"], Key=f"uploads/sentiment-en/{name}.txt", Body=text)

    def receive() -> list[dict[str, object]] | None:
        messages = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages")
        return [json.loads(message["Body"]) for message in messages] if messages else None

    (event,) = eventually(receive, 60)
    assert (event["source"], event["detail-type"]) == ("hearth", "Result Created")
    detail = event["detail"]
    assert isinstance(detail, dict)
    assert (detail["key"], detail["label"], detail["task"]) == (
        "uploads/sentiment-en/bad.txt",
        "negative",
        "text-classification",
    )
    assert "awful" not in json.dumps(event)
