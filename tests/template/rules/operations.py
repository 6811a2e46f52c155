"""Releases, alarms, batches, and the limits of CloudFormation."""

from __future__ import annotations

import json

from tests.template.rules.registry import Findings, rule, task_functions
from tests.template.stack import Template, function_of, of_type, target

RESOURCES = 500
TEMPLATE_BYTES = 1_000_000
"""CloudFormation's limit for templates in S3, where `sam deploy` puts them."""
PARAMETERS, OUTPUTS = 200, 200
USABLE_SHARE = 0.95
"""Share of a limit that the template may use."""


@rule
def the_template_fits_into_cloudformation(template: Template) -> Findings:
    size = len(json.dumps(template).encode())
    wrong = {
        f"{len(template['Resources'])} resources of {RESOURCES}": len(template["Resources"]) > USABLE_SHARE * RESOURCES,
        f"{size} bytes of {TEMPLATE_BYTES}": size > USABLE_SHARE * TEMPLATE_BYTES,
        f"{len(template['Parameters'])} parameters of {PARAMETERS}": len(template["Parameters"]) > PARAMETERS,
        f"{len(template['Outputs'])} outputs of {OUTPUTS}": len(template["Outputs"]) > OUTPUTS,
    }
    yield from (f"the template has {problem}" for problem, is_wrong in wrong.items() if is_wrong)


@rule
def new_versions_are_tested_before_traffic(template: Template) -> Findings:
    groups = dict(of_type(template, "CodeDeploy::DeploymentGroup"))
    aliases = {function_of(template, alias["FunctionName"]): name for name, alias in of_type(template, "Lambda::Alias")}
    for name, _ in of_type(template, "Lambda::Function"):
        if name not in aliases:
            yield f"{name} has no alias: its callers would call the latest upload"
            continue
        policy = template["Resources"][aliases[name]].get("UpdatePolicy", {}).get("CodeDeployLambdaAliasUpdate", {})
        group = groups.get(f"{name}DeploymentGroup", {})
        if name == "Release":
            continue  # it tests the others
        wrong = {
            "moves all its traffic at once": target(policy.get("DeploymentGroupName")) != f"{name}DeploymentGroup",
            "is released without golden answers": target(policy.get("BeforeAllowTrafficHook")) != "Release",
            "has a release that no alarm takes back": not group.get("AlarmConfiguration", {}).get("Alarms"),
        }
        yield from (f"{name} {problem}" for problem, is_wrong in wrong.items() if is_wrong)


@rule
def calls_go_to_the_alias(template: Template) -> Findings:
    for kind, field in (("EventSourceMapping", "FunctionName"), ("Permission", "FunctionName")):
        for name, properties in of_type(template, f"Lambda::{kind}"):
            if not target(properties[field]).endswith("Aliaslive") and target(properties[field]) != "TextGeneration":
                yield f"{name} bypasses the alias"


FUNCTION_METRICS = {
    ("AWS/Lambda", "Errors"),
    ("AWS/Lambda", "Throttles"),
    ("AWS/Lambda", "Duration"),
    ("Hearth", "Errors"),
    ("Hearth", "ColdStart"),
}
"""Metrics of each function that need an alarm, in addition to its cost."""
QUEUE_METRICS = {"Queue": "ApproximateAgeOfOldestMessage", "DeadLetters": "ApproximateNumberOfMessagesVisible"}


@rule
def every_function_and_queue_has_alarms(template: Template) -> Findings:
    alarms = [alarm for _, alarm in of_type(template, "CloudWatch::Alarm")]
    watched = {
        (target(alarm["Dimensions"][0]["Value"]), alarm["Namespace"], alarm["MetricName"])
        for alarm in alarms
        if "Dimensions" in alarm
    }
    costs = json.dumps([alarm["Metrics"] for alarm in alarms if "Metrics" in alarm])
    for name, _ in of_type(template, "Lambda::Function"):
        if name == "Release":
            continue
        yield from (
            f"no alarm for {metric} of {name}"
            for space, metric in FUNCTION_METRICS
            if (name, space, metric) not in watched
        )
        if json.dumps({"Ref": name}) not in costs:
            yield f"no alarm for what {name} costs"
    for name, _ in task_functions(template):
        for queue, metric in QUEUE_METRICS.items():
            if (f"{name}{queue}", "AWS/SQS", metric) not in watched:
                yield f"no alarm for {metric} of {name}{queue}"


@rule
def alarms_reach_someone(template: Template) -> Findings:
    for name, alarm in of_type(template, "CloudWatch::Alarm"):
        wrong = {
            "tells nobody": [target(action) for action in alarm.get("AlarmActions", [])] != ["Alarms"],
            "does not say what to look at": not alarm.get("AlarmDescription"),
            "rings without data": alarm.get("TreatMissingData") != "notBreaching",
        }
        yield from (f"{name} {problem}" for problem, is_wrong in wrong.items() if is_wrong)
    for name, topic in of_type(template, "SNS::Topic"):
        if target(topic.get("KmsMasterKeyId")) != "Key":
            yield f"{name} must be encrypted with our key"
    for name, policy in of_type(template, "SNS::TopicPolicy"):
        for statement in policy["PolicyDocument"]["Statement"]:
            if statement["Effect"] == "Allow" and "aws:SourceAccount" not in json.dumps(statement):
                yield f"{name} lets other accounts publish"
        if "aws:SecureTransport" not in json.dumps(policy):
            yield f"{name} must deny plain HTTP"


@rule
def batches_are_bounded_and_watched(template: Template) -> Findings:
    for name, machine in of_type(template, "StepFunctions::StateMachine"):
        text = json.dumps(machine)
        logging = machine.get("LoggingConfiguration", {})
        wrong = {
            "must be traced": machine.get("TracingConfiguration", {}).get("Enabled") is not True,
            "must be logged": logging.get("Level") not in ("ERROR", "ALL"),
            "must not log its items": logging.get("IncludeExecutionData") is not False,
            "must list objects itself": "listObjectsV2" not in text,
            "must run batches, not single objects": "MaxItemsPerBatchPath" not in text,
            "must bound how many run at once": "MaxConcurrencyPath" not in text,
            "must end where too many fail": "ToleratedFailurePercentagePath" not in text,
            "must write the outcome of each batch": "ResultWriter" not in text,
            "must wait where functions are throttled": "Lambda.TooManyRequestsException" not in text,
        }
        yield from (f"{name} {problem}" for problem, is_wrong in wrong.items() if is_wrong)
    if task_functions(template) and not list(of_type(template, "StepFunctions::StateMachine")):
        yield "nothing runs batches"
