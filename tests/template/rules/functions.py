"""Functions and their callers."""

from __future__ import annotations

import json
import re

from hearth_build import ZOO
from tests.template.rules.registry import SERVING, Findings, if_condition, is_our_key, rule
from tests.template.stack import Template, function_of, of_type, target

SECONDS = {"Shared": {"Ref": "RequestSeconds"}, "Jobs": 900, "Catalog": 29, "Release": 900}
"""Timeout of each function."""
LAYERS = {
    **dict.fromkeys(SERVING, ("Core", "Vision", "Audio", "Video", "Runtime")),
    **dict.fromkeys(("Catalog", "Release"), ("Core", "Runtime")),
}
OUTPUT = {"Fn::Sub": "s3://${ResultBucket}/results"}


@rule
def functions_are_bounded_and_watched(template: Template) -> Findings:
    for name, function in of_type(template, "Lambda::Function"):
        variables = function["Environment"]["Variables"]
        size = function.get("EphemeralStorage", {}).get("Size")
        log = template["Resources"].get(target(function.get("LoggingConfig", {}).get("LogGroup")), {})
        layers = [re.sub(r"Layer[0-9a-f]+$", "", target(layer)) for layer in function["Layers"]]
        wrong = {
            "must run python3.13": function["Runtime"] != "python3.13",
            "must run on the architecture of the parameter": function["Architectures"] != [{"Ref": "Architecture"}],
            "has another timeout than it needs": function.get("Timeout") != SECONDS[name],
            "needs the ephemeral storage of the parameter": target(size) != "ScratchMegabytes",
            "needs a setting for the number of threads": "HEARTH_THREADS" not in variables,
            "needs the store": variables.get("HEARTH_STORE") != {"Fn::Sub": "s3://${ArtifactBucket}/models"},
            "needs the place of uploads": variables.get("HEARTH_UPLOADS") != {"Fn::Sub": "s3://${UploadBucket}"},
            "does not know who must sign models": target(variables.get("HEARTH_VERIFY_KEYS")) != "VerifyKeys",
            "needs a bound of its cache": target(variables.get("HEARTH_CACHE_DISK_MB")) != "CacheMegabytes",
            "needs a cache that can be written": not str(variables.get("HEARTH_CACHE_DIR")).startswith("/tmp/"),
            "needs MemorySize": "MemorySize" not in function,
            "must be traced": function.get("TracingConfig", {}).get("Mode") != "Active",
            "must stop recursive loops": function.get("RecursiveLoop") != "Terminate",
            "must log JSON": function.get("LoggingConfig", {}).get("LogFormat") != "JSON",
            "needs a log group of this template": log.get("Type") != "AWS::Logs::LogGroup",
            "must encrypt its environment with our key": not is_our_key(function.get("KmsKeyArn")),
            "must disable the telemetry of onnxruntime": variables.get("ORT_DISABLE_TELEMETRY") != "1",
            "must have a HOME that can be written": variables.get("HOME") != "/tmp",
            "must not carry secrets": bool(re.search(r"(?i)secret|password|AKIA", json.dumps(variables))),
            "has other layers than it needs": tuple(layers) != LAYERS[name],
            "has another handler": function.get("Handler") != "hearth.aws_lambda.main.handler",
        }
        yield from (f"{name} {problem}" for problem, is_wrong in wrong.items() if is_wrong)


@rule
def functions_know_what_they_are_for(template: Template) -> Findings:
    functions = {name: f["Environment"]["Variables"] for name, f in of_type(template, "Lambda::Function")}
    shared = template["Resources"]["Shared"]["Properties"]
    wrong = {
        "Jobs does not know where results belong": functions["Jobs"].get("HEARTH_OUTPUT") != OUTPUT,
        "Catalog does not know where results lie": functions["Catalog"].get("HEARTH_OUTPUT") != OUTPUT,
        "Jobs does not know its dead letters": target(functions["Jobs"].get("HEARTH_DEAD_LETTERS")) != "DeadLetters",
        "Jobs does not announce by parameter": if_condition(functions["Jobs"].get("HEARTH_EVENT_BUS"), "Announces")
        != ("default", ""),
        "Jobs does not know the webhook": target(functions["Jobs"].get("HEARTH_WEBHOOK")) != "WebhookUrl",
        "Jobs does not know the webhook's key": if_condition(functions["Jobs"].get("HEARTH_WEBHOOK_KEY"), "HasWebhook")
        != ({"Fn::Sub": "ssm:${WebhookKey}"}, ""),
        "Shared needs our runtime to stream": functions["Shared"].get("AWS_LAMBDA_EXEC_WRAPPER")
        != "/opt/bootstrap-stream",
        "Shared has no snapshots by parameter": target(shared.get("SnapStart", {}).get("ApplyOn")) != "SnapStart",
        "Shared has no environments by parameter": "ProvisionedConcurrency"
        not in json.dumps(template["Resources"]["SharedAliaslive"]["Properties"].get("ProvisionedConcurrencyConfig")),
        "Shared does not stream to both callers": functions["Shared"].get("HEARTH_STREAM") != "rest,url",
    }
    yield from (problem for problem, is_wrong in wrong.items() if is_wrong)
    yield from (
        f"{name} streams to nobody" for name in set(functions) - {"Shared"} if "HEARTH_STREAM" in functions[name]
    )


@rule
def models_are_named_nowhere(template: Template) -> Findings:
    text = json.dumps(template)
    yield from (f"{model} is named" for model in sorted(p.name for p in ZOO.iterdir() if p.is_dir()) if model in text)
    if "HEARTH_MODELS" in text:
        yield "HEARTH_MODELS limits a function to some models"


@rule
def concurrency_is_reserved_by_parameter(template: Template) -> Findings:
    """New accounts have few environments, and AWS refuses to reserve the last ones."""
    parameters = template["Parameters"]
    for name, function in of_type(template, "Lambda::Function"):
        reserved, none = if_condition(function.get("ReservedConcurrentExecutions"), "Reserve")
        if name == "Shared" and (target(reserved) != "Concurrency" or target(none) != "AWS::NoValue"):
            yield "Shared must reserve what Concurrency says, and nothing for 0"
        if name != "Shared" and reserved is not None:
            yield f"{name} reserves concurrency"
    yield from (
        f"{name} is not 0 by default"
        for name in ("Concurrency", "ProvisionedConcurrency")
        if parameters[name]["Default"] != 0
    )
    if parameters["JobsConcurrency"].get("MinValue", 0) < 2 or parameters["JobsConcurrency"].get("MaxValue") != 1000:
        yield "JobsConcurrency allows values that AWS refuses"
    if parameters["RequestSeconds"].get("MaxValue") != 900:
        yield "RequestSeconds allows more than Lambda and API Gateway"


@rule
def mappings_report_single_failures(template: Template) -> Findings:
    mappings = dict(of_type(template, "Lambda::EventSourceMapping"))
    for name, mapping in mappings.items():
        wrong = {
            "would fail a whole batch for one message": mapping.get("FunctionResponseTypes")
            != ["ReportBatchItemFailures"],
            "needs the MaximumConcurrency of the parameter": target(
                mapping.get("ScalingConfig", {}).get("MaximumConcurrency")
            )
            != "JobsConcurrency",
            "takes more messages than fit into one timeout": mapping.get("BatchSize", 10) > 10,
            "reads another queue": target(mapping["EventSourceArn"]) != "Queue",
            "wakes another function": function_of(template, mapping["FunctionName"]) != "Jobs",
        }
        yield from (f"{name} {problem}" for problem, is_wrong in wrong.items() if is_wrong)
    if not mappings:
        yield "nothing reads the queue"


@rule
def permissions_name_their_source(template: Template) -> Findings:
    for name, permission in of_type(template, "Lambda::Permission"):
        if not (permission.get("SourceArn") or permission.get("SourceAccount")):
            yield f"{name} lets anyone's API invoke the function"
        if permission["Principal"] == "*":
            yield f"{name} lets anyone invoke the function"


@rule
def urls_stream_to_signed_requests(template: Template) -> Findings:
    urls = dict(of_type(template, "Lambda::Url"))
    for name, url in urls.items():
        wrong = {
            "may be called by anyone": url["AuthType"] != "AWS_IAM",
            "does not stream": url.get("InvokeMode") != "RESPONSE_STREAM",
            "leads to a function that does not stream": target(url["TargetFunctionArn"]) != "SharedAliaslive",
        }
        yield from (f"{name} {problem}" for problem, is_wrong in wrong.items() if is_wrong)
    if not urls:
        yield "Shared has no URL for signed requests"
