"""Releases, alarms, batches, and the limits of CloudFormation."""

from __future__ import annotations

import json

from tests.template.rules.registry import SERVING, Findings, is_our_key, rule
from tests.template.stack import Template, function_of, of_type, target

RESOURCES = 110
"""CloudFormation allows 500; functions of single models need some of them."""
TEMPLATE_BYTES = 1_000_000
"""CloudFormation's limit for templates in S3, where `sam deploy` puts them."""
PARAMETERS, OUTPUTS = 200, 200
USABLE_SHARE = 0.95
"""Share of a limit that the template may use."""


@rule
def the_template_fits_into_cloudformation(template: Template) -> Findings:
    size = len(json.dumps(template).encode())
    wrong = {
        f"{len(template['Resources'])} resources of {RESOURCES}": len(template["Resources"]) > RESOURCES,
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
            "has a release that its alarm does not take back": json.dumps({"Ref": WATCHED[name]})
            not in json.dumps(group.get("AlarmConfiguration", {}).get("Alarms")),
        }
        yield from (f"{name} {problem}" for problem, is_wrong in wrong.items() if is_wrong)


@rule
def calls_go_to_the_alias(template: Template) -> Findings:
    for kind, field in (("EventSourceMapping", "FunctionName"), ("Permission", "FunctionName")):
        for name, properties in of_type(template, f"Lambda::{kind}"):
            if not target(properties[field]).endswith("Aliaslive"):
                yield f"{name} bypasses the alias"


ALARMS = {
    "ApiFailures": ("AWS/ApiGateway", "5XXError"),
    "SharedErrors": ("AWS/Lambda", "Errors"),
    "JobsErrors": ("AWS/Lambda", "Errors"),
    "CatalogErrors": ("AWS/Lambda", "Errors"),
    "SharedThrottles": ("AWS/Lambda", "Throttles"),
    "UploadsWaiting": ("AWS/SQS", "ApproximateAgeOfOldestMessage"),
    "UploadsFailed": ("AWS/SQS", "ApproximateNumberOfMessagesVisible"),
}
"""The metric of each alarm, beside that of the cost."""
WATCHED = {"Shared": "SharedErrors", "Jobs": "JobsErrors", "Catalog": "CatalogErrors"}
"""The alarm that takes back a new version of each function."""
MAX_ALARMS = 10


@rule
def few_alarms_watch_what_matters(template: Template) -> Findings:
    alarms = dict(of_type(template, "CloudWatch::Alarm"))
    if len(alarms) > MAX_ALARMS:
        yield f"{len(alarms)} alarms: each costs as much as 500,000 invocations"
    for name, metric in ALARMS.items():
        alarm = alarms.get(name, {})
        if (alarm.get("Namespace"), alarm.get("MetricName")) != metric or not alarm.get("Dimensions"):
            yield f"no alarm {name} for {' '.join(metric)}"
    resources = {"UploadsWaiting": "Queue", "UploadsFailed": "DeadLetters", "SharedThrottles": "Shared"}
    for name, resource in (resources | {alarm: function for function, alarm in WATCHED.items()}).items():
        if target(alarms.get(name, {}).get("Dimensions", [{}])[0].get("Value")) != resource:
            yield f"{name} watches something else than {resource}"
    cost = json.dumps(alarms.get("Cost", {}).get("Metrics", ""))
    yield from (f"no alarm for what {name} costs" for name in SERVING if json.dumps({"Ref": name}) not in cost)


@rule
def what_costs_while_idle_is_created_by_parameter(template: Template) -> Findings:
    for name, condition in (("Key", "HasKey"), ("CloudWatchDashboard", "HasDashboard"), ("Firewall", "HasFirewall")):
        if template["Resources"][name].get("Condition") != condition:
            yield f"{name} is created without {condition}"
    for parameter, default in {"CustomerKey": "false", "Dashboard": "false", "FirewallRate": 0}.items():
        if template["Parameters"][parameter]["Default"] != default:
            yield f"{parameter} costs by default"


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
        if not is_our_key(topic.get("KmsMasterKeyId")):
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
    if not list(of_type(template, "StepFunctions::StateMachine")):
        yield "nothing runs batches"
