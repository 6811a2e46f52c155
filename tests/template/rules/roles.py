"""Roles: each belongs to one function or service, with the permissions it needs."""

from __future__ import annotations

import json
import re

from tests.template.rules.registry import Findings, role_of, rule, statements
from tests.template.stack import Template, as_list, of_type, target

TRACES = {
    "xray:PutTraceSegments",
    "xray:PutTelemetryRecords",
    "xray:GetSamplingRules",
    "xray:GetSamplingTargets",
}
DELIVERY = {
    f"logs:{action}"
    for action in (
        "CreateLogDelivery",
        "GetLogDelivery",
        "UpdateLogDelivery",
        "DeleteLogDelivery",
        "ListLogDeliveries",
        "PutResourcePolicy",
        "DescribeResourcePolicies",
        "DescribeLogGroups",
    )
}
WITHOUT_RESOURCE = TRACES | DELIVERY | {"cloudwatch:DescribeAlarms"}
"""Actions without resources, or whose resources cannot be named in advance."""
MODELS, UPLOADS, TRACKS = (
    "${ArtifactBucket.Arn}/models/",
    "${UploadBucket.Arn}/uploads/*",
    "${UploadBucket.Arn}/tracks/*",
)
RESULTS = "${ResultBucket.Arn}/results/*"
STORED = {"${ResultBucket.Arn}/watch/*": "Watches", "${ResultBucket.Arn}/capture/*": "Captures"}
"""What functions write beside results -> the condition without which they may not."""
ACCOUNT = "arn:${{AWS::Partition}}:{}:${{AWS::Region}}:${{AWS::AccountId}}"
DEPLOYMENTS = {f"{ACCOUNT.format('codedeploy')}:deploymentgroup:${{AWS::StackName}}-*/*"}
SERVE = {"s3:GetObject": {f"{MODELS}*"}, "s3:ListBucket": {"ArtifactBucket"}, "kms:Decrypt": {"Key"}}
GRANTS: dict[str, dict[str, set[str]]] = {
    "Shared": SERVE
    | {
        "s3:GetObject": {f"{MODELS}*", UPLOADS, TRACKS},
        "s3:PutObject": set(STORED),
        "kms:GenerateDataKey": {"Key"},
    },
    "Jobs": SERVE
    | {
        "s3:GetObject": {f"{MODELS}*", UPLOADS, TRACKS, "${UploadBucket.Arn}/batch/*", RESULTS},
        "s3:GetObjectVersion": {UPLOADS, TRACKS, "${UploadBucket.Arn}/batch/*"},
        "s3:PutObject": {RESULTS, *STORED},
        "s3:ListBucket": {"ArtifactBucket", "ResultBucket"},
        "kms:GenerateDataKey": {"Key"},
        "sqs:ReceiveMessage": {"Queue"},
        "sqs:DeleteMessage": {"Queue"},
        "sqs:GetQueueAttributes": {"Queue"},
        "sqs:ChangeMessageVisibility": {"Queue"},
        "sqs:SendMessage": {"DeadLetters"},
        "events:PutEvents": {f"{ACCOUNT.format('events')}:event-bus/default"},
        "ssm:GetParameter": {f"{ACCOUNT.format('ssm')}:parameter${{WebhookKey}}"},
    },
    "Catalog": {
        "s3:GetObject": {
            *(f"{MODELS}{file}" for file in ("catalog.json", "*/manifest.json", "*/model.sig", "*/aliases.json")),
            *(UPLOADS, TRACKS, RESULTS),
        },
        "s3:PutObject": {UPLOADS, TRACKS},
        "s3:DeleteObject": {UPLOADS, TRACKS, RESULTS},
        "s3:DeleteObjectVersion": {UPLOADS, TRACKS, RESULTS},
        "s3:ListBucket": {"ArtifactBucket", "UploadBucket", "ResultBucket"},
        "s3:ListBucketVersions": {"UploadBucket", "ResultBucket"},
        "kms:Decrypt": {"Key"},
        "kms:GenerateDataKey": {"Key"},
    },
    "Release": {
        "lambda:InvokeFunction": {f"{ACCOUNT.format('lambda')}:function:${{AWS::StackName}}-*:*"},
        "codedeploy:GetDeployment": DEPLOYMENTS,
        "codedeploy:PutLifecycleEventHookExecutionStatus": DEPLOYMENTS,
        "kms:Decrypt": {"Key"},
    },
}
"""Function -> action -> the resources for which its role grants it, beside its log and traces."""
UNPREFIXED = {"UploadBucket", "ResultBucket"}
"""Buckets in which a missing object must return 404, not 403."""


@rule
def each_function_has_its_own_role(template: Template) -> Findings:
    roles = [target(function["Role"]) for _, function in of_type(template, "Lambda::Function")]
    yield from (f"{role} is shared" for role in set(roles) if roles.count(role) > 1)
    for role in roles:
        properties = template["Resources"][role]["Properties"]
        if properties.get("ManagedPolicyArns"):
            yield f"{role} has managed policies, which grant more than it needs"
        trusted = json.dumps(properties["AssumeRolePolicyDocument"]["Statement"])
        if re.findall(r'"Service": "([^"]+)"', trusted) != ["lambda.amazonaws.com"] or "AWS" in trusted:
            yield f"{role} may be assumed by others than Lambda"


@rule
def roles_grant_named_actions_on_named_resources(template: Template) -> Findings:
    for name, role in of_type(template, "IAM::Role"):
        for statement in statements(role):
            actions, resources = as_list(statement["Action"]), [target(r) for r in as_list(statement["Resource"])]
            yield from (f"{name} is granted {action}" for action in actions if "*" in action)
            yield from (f"{name} is granted {a}" for a in actions if a.startswith(("iam:", "sts:")))
            if "*" in resources and not set(actions) <= WITHOUT_RESOURCE:
                yield f"{name} is granted {actions} on everything"
            if any(action.startswith("kms:") for action in actions) and resources != ["Key"]:
                yield f"{name} may use other keys than ours"
            if "kms:GenerateDataKey" in actions and "kms:ViaService" not in json.dumps(statement.get("Condition", {})):
                yield f"{name} may use the key directly, not only through a service"
            if "events:PutEvents" in actions and "events:source" not in json.dumps(statement.get("Condition", {})):
                yield f"{name} may put the events of others"
            lists_a_bucket = "s3:ListBucket" in actions and not set(resources) <= UNPREFIXED
            if lists_a_bucket and "s3:prefix" not in json.dumps(statement.get("Condition", {})):
                yield f"{name} may list a whole bucket"


@rule
def functions_have_exactly_the_permissions_that_they_need(template: Template) -> Findings:
    for name, function in of_type(template, "Lambda::Function"):
        granted: dict[str, set[str]] = {}
        for statement in statements(role_of(template, function)):
            for action in as_list(statement["Action"]):
                granted.setdefault(action, set()).update(target(one) for one in as_list(statement["Resource"]))
        log = target(function.get("LoggingConfig", {}).get("LogGroup"))
        expected = GRANTS[name] | {key: {log} for key in ("logs:CreateLogStream", "logs:PutLogEvents")}
        expected |= {key: {"*"} for key in ("xray:PutTraceSegments", "xray:PutTelemetryRecords")}
        for action in sorted(expected.keys() | granted.keys()):
            missing = expected.get(action, set()) - granted.get(action, set())
            extra = granted.get(action, set()) - expected.get(action, set())
            yield from (f"{name} lacks {action} on {resource}" for resource in sorted(missing))
            yield from (f"{name} has {action} on {resource}, which it does not need" for resource in sorted(extra))


@rule
def counts_and_inputs_are_written_only_by_parameter(template: Template) -> Findings:
    for name, role in of_type(template, "IAM::Role"):
        for policy in role.get("Policies", ()):
            for statement in policy["PolicyDocument"]["Statement"]:
                for resource, condition in STORED.items():
                    if resource in json.dumps(statement) and statement.get("Fn::If", [""])[0] != condition:
                        yield f"{name} may write {resource} whatever {condition} says"


@rule
def services_have_minimal_roles(template: Template) -> Findings:
    machines = {target(machine["RoleArn"]) for _, machine in of_type(template, "StepFunctions::StateMachine")}
    for name in machines:
        role = template["Resources"][name]["Properties"]
        if "aws:SourceAccount" not in json.dumps(role["AssumeRolePolicyDocument"]):
            yield f"{name} may be assumed for another account's machine"
        for statement in statements(role):
            resources = {target(resource) for resource in as_list(statement["Resource"])}
            if "lambda:InvokeFunction" in as_list(statement["Action"]) and resources != {"JobsAliaslive"}:
                yield f"{name} must invoke the alias of the jobs function, and nothing else"
            if "s3:PutObject" in as_list(statement["Action"]) and resources != {"${ResultBucket.Arn}/batches/*"}:
                yield f"{name} may write elsewhere than below batches/"
    groups = {target(group["ServiceRoleArn"]) for _, group in of_type(template, "CodeDeploy::DeploymentGroup")}
    for name in groups:
        for statement in statements(template["Resources"][name]["Properties"]):
            if "lambda:InvokeFunction" in as_list(statement["Action"]) and target(statement["Resource"]) != "Release":
                yield f"{name} may invoke more than the hook"
