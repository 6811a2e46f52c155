"""Roles: each belongs to one function or service, with the permissions it needs."""

from __future__ import annotations

import json
import re

from tests.template.rules.registry import Findings, models_of, prefix_of, role_of, rule, statements, task_functions
from tests.template.stack import Resource, Template, as_list, of_type, target

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
WHOLE_BUCKET = {"ResultBucket"}
"""Buckets in which a missing object must return 404, not 403."""
DESCRIPTIONS = {f"${{ArtifactBucket.Arn}}/models/*/{file}.json" for file in ("manifest", "aliases")}
INPUTS = {"${UploadBucket.Arn}/uploads/*", "${UploadBucket.Arn}/tracks/*"}
OBJECTS = {
    "Catalog": DESCRIPTIONS,
    "Uploads": {*DESCRIPTIONS, *INPUTS, "${ResultBucket.Arn}/results/*"},
    "Release": set(),
}
"""Objects that the functions without models may access."""
WRITES = {"Uploads": INPUTS}


def _accessible_objects(name: str, function: Resource) -> set[str]:
    """The objects that a function may read or write."""
    if not models_of(function):
        return OBJECTS[name]
    prefixes = [prefix_of(function), "batch/"]
    objects = {f"${{ArtifactBucket.Arn}}/models/{model}/*" for model in models_of(function)}
    objects |= {f"${{UploadBucket.Arn}}/{prefix}{model}/*" for model in models_of(function) for prefix in prefixes}
    return objects | {"${ResultBucket.Arn}/results/*"}


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
            lists_a_bucket = not set(resources) <= WHOLE_BUCKET and "s3:ListBucket" in actions and name != "UploadsRole"
            if lists_a_bucket and "s3:prefix" not in json.dumps(statement.get("Condition", {})):
                yield f"{name} may list a whole bucket"


@rule
def roles_read_their_models_only(template: Template) -> Findings:
    for name, function in of_type(template, "Lambda::Function"):
        expected, granted = _accessible_objects(name, function), set[str]()
        for statement in statements(role_of(template, function)):
            actions = as_list(statement["Action"])
            resources = {target(resource) for resource in as_list(statement["Resource"])}
            if {"s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:DeleteObjectVersion"} & set(actions):
                granted |= resources
            if "s3:PutObject" in actions and resources != WRITES.get(name, {"${ResultBucket.Arn}/results/*"}):
                yield f"{name} may write elsewhere than it must"
            if models_of(function) and any(action.startswith("s3:Delete") for action in actions):
                yield f"{name} may delete objects"
        yield from (f"{name} has no access to {missing}" for missing in sorted(expected - granted))
        yield from (f"{name} may use {extra}, which is not its own" for extra in sorted(granted - expected))


@rule
def functions_send_to_their_own_dead_letters(template: Template) -> Findings:
    for name, function in task_functions(template):
        dead_letters = f"{name}DeadLetters"
        if target(function["Environment"]["Variables"].get("HEARTH_DEAD_LETTERS")) != dead_letters:
            yield f"{name} does not know its dead letters: HEARTH_DEAD_LETTERS"
        granted = [
            target(statement["Resource"])
            for statement in statements(role_of(template, function))
            if "sqs:SendMessage" in as_list(statement["Action"])
        ]
        if granted != [dead_letters]:
            yield f"{name} may send to {granted}, not to its own dead letters alone"


@rule
def services_have_minimal_roles(template: Template) -> Findings:
    machines = {target(machine["RoleArn"]) for _, machine in of_type(template, "StepFunctions::StateMachine")}
    invoked = {f"${{{name}.Arn}}:live" for name, _ in task_functions(template)}
    for name in machines:
        role = template["Resources"][name]["Properties"]
        if "aws:SourceAccount" not in json.dumps(role["AssumeRolePolicyDocument"]):
            yield f"{name} may be assumed for another account's machine"
        for statement in statements(role):
            resources = {target(resource) for resource in as_list(statement["Resource"])}
            if "lambda:InvokeFunction" in as_list(statement["Action"]) and resources != invoked:
                yield f"{name} must invoke the alias of each task's function, and nothing else"
            if "s3:PutObject" in as_list(statement["Action"]) and resources != {"${ResultBucket.Arn}/batches/*"}:
                yield f"{name} may write elsewhere than below batches/"
    groups = {target(group["ServiceRoleArn"]) for _, group in of_type(template, "CodeDeploy::DeploymentGroup")}
    for name in groups:
        for statement in statements(template["Resources"][name]["Properties"]):
            if "lambda:InvokeFunction" in as_list(statement["Action"]) and target(statement["Resource"]) != "Release":
                yield f"{name} may invoke more than the hook"
