"""The queue, its dead letters and the path of an upload."""

from __future__ import annotations

import json

from hearth.async_inference.uploads import PREFIXES
from tests.template.rules.registry import NO_VALUE, Findings, if_condition, is_our_key, rule
from tests.template.stack import Template, function_of, of_type, target


@rule
def queues_are_encrypted(template: Template) -> Findings:
    for name, queue in of_type(template, "SQS::Queue"):
        if not is_our_key(queue.get("KmsMasterKeyId")):
            yield f"{name} must be encrypted with our key, if there is one"
        if if_condition(queue.get("SqsManagedSseEnabled"), "HasKey") != (NO_VALUE, True):
            yield f"{name} must be encrypted with the key of SQS, if there is none of ours"


@rule
def the_queue_keeps_failed_messages(template: Template) -> Findings:
    queue, dead_letters = (template["Resources"][name]["Properties"] for name in ("Queue", "DeadLetters"))
    redrive = queue.get("RedrivePolicy", {})
    wrong = {
        "needs a dead-letter queue": target(redrive.get("deadLetterTargetArn")) != "DeadLetters",
        "gives up too early or too late": not 2 <= redrive.get("maxReceiveCount", 0) <= 10,
        "keeps messages longer than dead letters": dead_letters["MessageRetentionPeriod"]
        <= queue["MessageRetentionPeriod"],
        "has dead letters of any queue": not dead_letters.get("RedriveAllowPolicy"),
    }
    yield from (f"Queue {problem}" for problem, is_wrong in wrong.items() if is_wrong)
    for name, mapping in of_type(template, "Lambda::EventSourceMapping"):
        function = template["Resources"][function_of(template, mapping["FunctionName"])]["Properties"]
        if queue.get("VisibilityTimeout", 30) < 6 * function["Timeout"]:
            yield f"Queue redelivers a message before six timeouts of {name}"


@rule
def queues_accept_messages_of_their_rule_only(template: Template) -> Findings:
    covered: set[str] = set()
    for name, policy in of_type(template, "SQS::QueuePolicy"):
        covered |= {target(queue) for queue in policy["Queues"]}
        statements = policy["PolicyDocument"]["Statement"]
        for statement in statements:
            if statement["Effect"] == "Allow":
                source = target(statement.get("Condition", {}).get("ArnEquals", {}).get("aws:SourceArn"))
                if template["Resources"].get(source, {}).get("Type") != "AWS::Events::Rule":
                    yield f"{name} lets others than one rule send"
                if statement["Principal"] != {"Service": "events.amazonaws.com"}:
                    yield f"{name} lets others than EventBridge send"
        if not any(s["Effect"] == "Deny" and "SecureTransport" in json.dumps(s) for s in statements):
            yield f"{name} must deny plain HTTP"
    yield from (f"{name} has no policy" for name, _ in of_type(template, "SQS::Queue") if name not in covered)


@rule
def uploads_of_any_model_reach_the_queue(template: Template) -> Findings:
    bucket = template["Resources"]["UploadBucket"]["Properties"]
    event_rule = template["Resources"]["UploadRule"]["Properties"]
    pattern = event_rule.get("EventPattern", {})
    detail = pattern.get("detail", {})
    prefixes = {key.get("prefix") for key in detail.get("object", {}).get("key", [])}
    targets = event_rule.get("Targets", [])
    wrong = {
        "matches other events": (pattern.get("source"), pattern.get("detail-type")) != (["aws.s3"], ["Object Created"]),
        "matches other prefixes than those of uploads": prefixes != set(PREFIXES.values()),
        "matches other buckets": [target(name) for name in detail.get("bucket", {}).get("name", [])]
        != ["UploadBucket"],
        "sends elsewhere": [target(one["Arn"]) for one in targets] != ["Queue"],
        "loses events that cannot be delivered": not all(
            target(one.get("DeadLetterConfig", {}).get("Arn")) == "DeadLetters" for one in targets
        ),
        "gets no events from UploadBucket": "EventBridgeEnabled"
        not in json.dumps(bucket.get("NotificationConfiguration", {})),
    }
    yield from (f"UploadRule {problem}" for problem, is_wrong in wrong.items() if is_wrong)
