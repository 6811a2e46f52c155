"""Queues, dead letters and the path of an upload."""

from __future__ import annotations

import json

from tests.template.rules.registry import Findings, models_of, prefix_of, rule
from tests.template.stack import Template, function_of, of_type, target


@rule
def queues_keep_failed_messages(template: Template) -> Findings:
    queues = dict(of_type(template, "SQS::Queue"))
    mapped = {target(m["EventSourceArn"]): m for _, m in of_type(template, "Lambda::EventSourceMapping")}
    for name, queue in queues.items():
        if target(queue.get("KmsMasterKeyId")) != "Key":
            yield f"{name} must be encrypted with our key"
        if name not in mapped:
            if not queue.get("RedriveAllowPolicy"):
                yield f"{name} accepts dead letters of any queue"
            continue
        redrive = queue.get("RedrivePolicy", {})
        dead_letters = queues.get(target(redrive.get("deadLetterTargetArn")))
        function = template["Resources"][function_of(template, mapped[name]["FunctionName"])]["Properties"]
        if dead_letters is None or not 2 <= redrive.get("maxReceiveCount", 0) <= 10:
            yield f"{name} needs a dead-letter queue after a few attempts"
        elif dead_letters["MessageRetentionPeriod"] <= queue["MessageRetentionPeriod"]:
            yield f"{name}: dead letters must be kept longer than messages"
        if queue.get("VisibilityTimeout", 30) < 6 * function["Timeout"]:
            yield f"{name} redelivers a message before six timeouts of its function"


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
def uploads_reach_the_function_of_their_model(template: Template) -> Findings:
    bucket = template["Resources"]["UploadBucket"]["Properties"]
    if "EventBridgeEnabled" not in json.dumps(bucket.get("NotificationConfiguration", {})):
        yield "UploadBucket sends no events to EventBridge"
    rules = {
        target(rule_target["Arn"]): properties
        for _, properties in of_type(template, "Events::Rule")
        for rule_target in properties["Targets"]
    }
    for name, mapping in of_type(template, "Lambda::EventSourceMapping"):
        function = template["Resources"][function_of(template, mapping["FunctionName"])]["Properties"]
        event_rule = rules.get(target(mapping["EventSourceArn"]), {})
        detail = event_rule.get("EventPattern", {}).get("detail", {})
        prefixes = [key.get("prefix") for key in detail.get("object", {}).get("key", [])]
        if prefixes != [f"{prefix_of(function)}{model}/" for model in models_of(function)]:
            yield f"{name}: the rule's prefixes {prefixes} are not the function's models"
        if [target(bucket) for bucket in detail.get("bucket", {}).get("name", [])] != ["UploadBucket"]:
            yield f"{name}: the rule must match UploadBucket only"
        if not all(t.get("DeadLetterConfig") for t in event_rule.get("Targets", [])):
            yield f"{name}: the rule loses events that cannot be delivered"
