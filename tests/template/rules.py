"""What must hold for the translated template; each rule yields a sentence for whatever breaks it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from tests.template.stack import Resource, Template, listed, number, of_type, target

Findings = Iterator[str]
Rule = Callable[[Template], Findings]
RULES: list[Rule] = []
OPEN_PATHS = {"/v2/health/live", "/openapi.json", "/docs", "/", "/page/{digest}/{file}"}
ANY_RESOURCE = {"xray:PutTraceSegments", "xray:PutTelemetryRecords"}


def rule(check: Rule) -> Rule:
    RULES.append(check)
    return check


def findings(template: Template) -> list[str]:
    return [f"{check.__name__}: {finding}" for check in RULES for finding in check(template)]


def _statements(role: Resource) -> Iterator[dict[str, Any]]:
    for policy in role.get("Policies", []):
        yield from policy["PolicyDocument"]["Statement"]


def _role(template: Template, function: Resource) -> Resource:
    return template["Resources"][target(function["Role"])]["Properties"]


def _models(function: Resource) -> list[str]:
    return [name for name in function["Environment"]["Variables"].get("HEARTH_MODELS", "").split(",") if name]


def _prefix(function: Resource) -> str:
    """Of the uploads that are this function's."""
    return str(function["Environment"]["Variables"].get("HEARTH_UPLOAD_PREFIX", "uploads/"))


@rule
def functions_are_bounded_and_watched(template: Template) -> Findings:
    for name, function in of_type(template, "Lambda::Function"):
        variables = function["Environment"]["Variables"]
        log = template["Resources"].get(target(function.get("LoggingConfig", {}).get("LogGroup")), {})
        wrong = {
            "must run python3.13": function["Runtime"] != "python3.13",
            "must run on x86_64": function["Architectures"] != ["x86_64"],
            "must answer before API Gateway's 29 s are over": function["Timeout"] > 29,
            "needs MemorySize": "MemorySize" not in function,
            "needs ReservedConcurrentExecutions": "ReservedConcurrentExecutions" not in function,
            "must be traced": function.get("TracingConfig", {}).get("Mode") != "Active",
            "must stop recursive loops": function.get("RecursiveLoop") != "Terminate",
            "must log JSON": function.get("LoggingConfig", {}).get("LogFormat") != "JSON",
            "needs a log group of this template": log.get("Type") != "AWS::Logs::LogGroup",
            "must encrypt its environment with our key": target(function.get("KmsKeyArn")) != "Key",
            "must keep onnxruntime from phoning home": variables.get("ORT_DISABLE_TELEMETRY") != "1",
            "must have a HOME that can be written": variables.get("HOME") != "/tmp",
            "must not carry secrets": bool(re.search(r"(?i)secret|password|AKIA", json.dumps(variables))),
            "needs the runtime layer last": not target(function["Layers"][-1]).startswith("RuntimeLayer"),
        }
        yield from (f"{name} {what}" for what, is_wrong in wrong.items() if is_wrong)


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
    for name, function in of_type(template, "Lambda::Function"):
        for statement in _statements(_role(template, function)):
            actions, resources = listed(statement["Action"]), [target(r) for r in listed(statement["Resource"])]
            yield from (f"{name} is granted {action}" for action in actions if "*" in action)
            yield from (f"{name} is granted {a}" for a in actions if a.startswith(("iam:", "sts:")))
            if "*" in resources and not set(actions) <= ANY_RESOURCE:
                yield f"{name} is granted {actions} on everything"
            if any(action.startswith("kms:") for action in actions) and resources != ["Key"]:
                yield f"{name} may use other keys than ours"
            whole = resources != ["ResultBucket"] and "s3:ListBucket" in actions
            if whole and "s3:prefix" not in json.dumps(statement.get("Condition", {})):
                yield f"{name} may list a whole bucket"


@rule
def roles_read_their_models_alone(template: Template) -> Findings:
    for name, function in of_type(template, "Lambda::Function"):
        models = _models(function)
        expected = {f"${{ArtifactBucket.Arn}}/models/{model}/*" for model in models}
        expected |= {f"${{UploadBucket.Arn}}/{_prefix(function)}{model}/*" for model in models}
        expected |= {"${ResultBucket.Arn}/results/*"} if models else set()
        if not models:
            expected = {f"${{ArtifactBucket.Arn}}/models/*/{file}.json" for file in ("manifest", "aliases")}
        found: set[str] = set()
        for statement in _statements(_role(template, function)):
            actions = listed(statement["Action"])
            resources = {target(resource) for resource in listed(statement["Resource"])}
            if {"s3:GetObject", "s3:PutObject"} & set(actions):
                found |= resources
            if "s3:PutObject" in actions and resources != {"${ResultBucket.Arn}/results/*"}:
                yield f"{name} may write elsewhere than below results/"
        yield from (f"{name} has no access to {missing}" for missing in sorted(expected - found))
        yield from (f"{name} may use {extra}, which is not its own" for extra in sorted(found - expected))


@rule
def buckets_are_private_and_encrypted(template: Template) -> Findings:
    for name, bucket in of_type(template, "S3::Bucket"):
        blocked = bucket.get("PublicAccessBlockConfiguration", {})
        switches = ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets")
        yield from (f"{name} lacks {switch}" for switch in switches if blocked.get(switch) is not True)
        ownership = bucket.get("OwnershipControls", {}).get("Rules", [{}])[0].get("ObjectOwnership")
        encryption = bucket.get("BucketEncryption", {}).get("ServerSideEncryptionConfiguration", [{}])[0]
        default = encryption.get("ServerSideEncryptionByDefault", {})
        lifecycle = json.dumps(bucket.get("LifecycleConfiguration", {}))
        wrong = {
            "must belong to its owner alone": ownership != "BucketOwnerEnforced",
            "must be encrypted with our key": target(default.get("KMSMasterKeyID")) != "Key",
            "must use SSE-KMS": default.get("SSEAlgorithm") != "aws:kms",
            "needs a bucket key": encryption.get("BucketKeyEnabled") is not True,
            "must keep versions": bucket.get("VersioningConfiguration", {}).get("Status") != "Enabled",
            "must expire superseded versions": "NoncurrentVersionExpiration" not in lifecycle,
            "must clean up broken uploads": "AbortIncompleteMultipartUpload" not in lifecycle,
            "needs a choice of DeletionPolicy": "DeletionPolicy" not in template["Resources"][name],
            "must expire its objects": name != "ArtifactBucket" and '"ExpirationInDays"' not in lifecycle,
        }
        yield from (f"{name} {what}" for what, is_wrong in wrong.items() if is_wrong)
    if template["Resources"]["ArtifactBucket"]["DeletionPolicy"] != "Retain":
        yield "ArtifactBucket must outlive the stack"


@rule
def buckets_demand_tls_and_our_key(template: Template) -> Findings:
    policies = {target(policy["Bucket"]): policy for _, policy in of_type(template, "S3::BucketPolicy")}
    for name, _ in of_type(template, "S3::Bucket"):
        statements = policies.get(name, {}).get("PolicyDocument", {}).get("Statement", [])
        denials = [json.dumps(s) for s in statements if s["Effect"] == "Deny" and s["Principal"] == "*"]
        for key in ('"aws:SecureTransport": "false"', '"s3:TlsVersion": "1.2"', "aws-kms-key-id"):
            if not any(key in denial for denial in denials):
                yield f"{name} has no denial on {key}"
        for denial in denials:
            if "SecureTransport" in denial and not ("s3:*" in denial and f"${{{name}.Arn}}/*" in denial):
                yield f"{name} denies plain HTTP for a part only"
        yield from (f"{name} is opened by its policy" for s in statements if s["Effect"] == "Allow")


@rule
def queues_keep_what_fails(template: Template) -> Findings:
    queues = dict(of_type(template, "SQS::Queue"))
    mapped = {target(m["EventSourceArn"]): m for _, m in of_type(template, "Lambda::EventSourceMapping")}
    for name, queue in queues.items():
        if target(queue.get("KmsMasterKeyId")) != "Key":
            yield f"{name} must be encrypted with our key"
        if name not in mapped:
            if not queue.get("RedriveAllowPolicy"):
                yield f"{name} takes dead letters of any queue"
            continue
        redrive = queue.get("RedrivePolicy", {})
        letters = queues.get(target(redrive.get("deadLetterTargetArn")))
        function = template["Resources"][target(mapped[name]["FunctionName"])]["Properties"]
        if letters is None or not 2 <= redrive.get("maxReceiveCount", 0) <= 10:
            yield f"{name} needs a dead-letter queue after a few attempts"
        elif letters["MessageRetentionPeriod"] <= queue["MessageRetentionPeriod"]:
            yield f"{name}: dead letters must be kept longer than messages"
        if queue.get("VisibilityTimeout", 30) < 6 * function["Timeout"]:
            yield f"{name} shows a message again before six timeouts of its function are over"


@rule
def queues_take_messages_of_their_rule_alone(template: Template) -> Findings:
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
def mappings_report_single_failures(template: Template) -> Findings:
    for name, mapping in of_type(template, "Lambda::EventSourceMapping"):
        function = template["Resources"][target(mapping["FunctionName"])]["Properties"]
        most = mapping.get("ScalingConfig", {}).get("MaximumConcurrency")
        reserved = function.get("ReservedConcurrentExecutions", {"Fn::If": [None, 0]})["Fn::If"][1]
        if mapping.get("FunctionResponseTypes") != ["ReportBatchItemFailures"]:
            yield f"{name}: one bad message would fail its whole batch"
        if most is None or not 2 <= most < number(template, reserved):
            yield f"{name} needs a MaximumConcurrency that leaves room for requests"
        if mapping.get("BatchSize", 10) > 10:
            yield f"{name} takes more messages than fit into one timeout"


@rule
def uploads_reach_the_function_of_their_model(template: Template) -> Findings:
    bucket = template["Resources"]["UploadBucket"]["Properties"]
    if "EventBridgeEnabled" not in json.dumps(bucket.get("NotificationConfiguration", {})):
        yield "UploadBucket tells EventBridge nothing"
    rules = {
        target(rule_target["Arn"]): properties
        for _, properties in of_type(template, "Events::Rule")
        for rule_target in properties["Targets"]
    }
    for name, mapping in of_type(template, "Lambda::EventSourceMapping"):
        function = template["Resources"][target(mapping["FunctionName"])]["Properties"]
        found = rules.get(target(mapping["EventSourceArn"]), {})
        detail = found.get("EventPattern", {}).get("detail", {})
        prefixes = [key.get("prefix") for key in detail.get("object", {}).get("key", [])]
        if prefixes != [f"{_prefix(function)}{model}/" for model in _models(function)]:
            yield f"{name}: the rule's prefixes {prefixes} are not the function's models"
        if [target(bucket) for bucket in detail.get("bucket", {}).get("name", [])] != ["UploadBucket"]:
            yield f"{name}: the rule must listen to UploadBucket alone"
        if not all(t.get("DeadLetterConfig") for t in found.get("Targets", [])):
            yield f"{name}: the rule loses events that cannot be delivered"


@rule
def routes_lead_to_a_function_of_their_model(template: Template) -> Findings:
    paths = template["Resources"]["Api"]["Properties"]["Body"]["paths"]
    served: dict[str, set[str]] = {}
    for name, function in of_type(template, "Lambda::Function"):
        for model in _models(function):
            served.setdefault(model, set()).add(f"${{{name}.Arn}}")
        pipelines = [path for path, methods in paths.items() if f"${{{name}.Arn}}" in json.dumps(methods.get("post"))]
        if _models(function) and not any(path.startswith("/pipeline/") for path in pipelines):
            yield f"no POST /pipeline/TASK/{{name}} leads to {name}"
    for model, functions in served.items():
        for method in ("get", "post"):
            led = json.dumps(paths.get(f"/models/{model}", {}).get(method))
            if not any(function in led for function in functions):
                yield f"{method.upper()} /models/{model} does not lead to a function that has it"


@rule
def streams_end_where_they_are_understood(template: Template) -> Findings:
    """What is sent a stream and wants a whole answer, or the reverse, cannot read it."""
    paths = template["Resources"]["Api"]["Properties"]["Body"]["paths"]
    urls = {target(url["TargetFunctionArn"]): url for _, url in of_type(template, "Lambda::Url")}
    for name, function in of_type(template, "Lambda::Function"):
        variables = function["Environment"]["Variables"]
        streams = [door for door in variables.get("HEARTH_STREAM", "").split(",") if door]
        if bool(streams) != (variables.get("AWS_LAMBDA_EXEC_WRAPPER") == "/opt/bootstrap-stream"):
            yield f"{name} must have both AWS_LAMBDA_EXEC_WRAPPER and HEARTH_STREAM, or neither"
        for path, methods in paths.items():
            for method, operation in methods.items():
                integration = operation["x-amazon-apigateway-integration"]
                if f"${{{name}.Arn}}" not in json.dumps(integration):
                    continue
                called = "/response-streaming-invocations" in json.dumps(integration["uri"])
                told = integration.get("responseTransferMode") == "STREAM"
                if not called == told == ("rest" in streams):
                    yield f"{method.upper()} {path} and HEARTH_STREAM of {name} do not agree on streaming"
        url = urls.get(name, {})
        if url and url["AuthType"] != "AWS_IAM":
            yield f"{name} has a URL that anyone may call"
        if (url.get("InvokeMode") == "RESPONSE_STREAM") != ("url" in streams):
            yield f"the URL and HEARTH_STREAM of {name} do not agree on streaming"


@rule
def routes_ask_for_a_key(template: Template) -> Findings:
    body = template["Resources"]["Api"]["Properties"]["Body"]
    without = set()
    for path, methods in body["paths"].items():
        for method in methods.values():
            if {"api_key": []} not in method.get("security", []):
                without.add(path)
    yield from (f"{path} asks for no key" for path in sorted(without - OPEN_PATHS))
    if not list(of_type(template, "ApiGateway::UsagePlanKey")):
        yield "no API key belongs to a usage plan"
    for name, plan in of_type(template, "ApiGateway::UsagePlan"):
        yield from (f"{name} has no {limit}" for limit in ("Throttle", "Quota") if not plan.get(limit))


@rule
def the_api_keeps_payloads_to_itself(template: Template) -> Findings:
    api = template["Resources"]["Api"]["Properties"]
    if "*/*" not in api.get("BinaryMediaTypes", []) and "*~1*" not in api.get("BinaryMediaTypes", []):
        yield "pictures would be mangled: BinaryMediaTypes must have *~1*"
    for name, stage in of_type(template, "ApiGateway::Stage"):
        settings = stage.get("MethodSettings", [{}])[0]
        log = stage.get("AccessLogSetting", {})
        wrong = {
            "must not log whole requests": settings.get("DataTraceEnabled") is not False,
            "needs a throttle": not {"ThrottlingRateLimit", "ThrottlingBurstLimit"} <= set(settings),
            "needs metrics": settings.get("MetricsEnabled") is not True,
            "must be traced": stage.get("TracingEnabled") is not True,
            "needs an access log": target(log.get("DestinationArn")) != "ApiLog",
            "logs payload": bool(re.search(r"querystring|\.path\b|body|header|input", log.get("Format", ""))),
            "must not cache answers to private questions": bool(stage.get("CacheClusterEnabled")),
        }
        yield from (f"{name} {what}" for what, is_wrong in wrong.items() if is_wrong)


@rule
def permissions_name_their_source(template: Template) -> Findings:
    for name, permission in of_type(template, "Lambda::Permission"):
        if not (permission.get("SourceArn") or permission.get("SourceAccount")):
            yield f"{name} lets anyone's API invoke the function"
        if permission["Principal"] == "*":
            yield f"{name} lets anyone invoke the function"


@rule
def logs_are_kept_for_a_time_and_encrypted(template: Template) -> Findings:
    for name, group in of_type(template, "Logs::LogGroup"):
        if "RetentionInDays" not in group:
            yield f"{name} keeps logs for ever"
        if target(group.get("KmsKeyId")) != "Key":
            yield f"{name} must be encrypted with our key"


@rule
def the_key_rotates_and_serves_this_account(template: Template) -> Findings:
    for name, key in of_type(template, "KMS::Key"):
        if key.get("EnableKeyRotation") is not True:
            yield f"{name} must rotate"
        if template["Resources"][name].get("DeletionPolicy") != "Retain":
            yield f"{name} must outlive the stack, as what it encrypts does"
        for statement in key["KeyPolicy"]["Statement"]:
            if "Service" in statement["Principal"] and "Condition" not in statement:
                yield f"{name}: {statement['Sid']} serves every account"
            if statement["Principal"] in ("*", {"AWS": "*"}):
                yield f"{name}: {statement['Sid']} serves everyone"
