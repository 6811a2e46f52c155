"""Functions and their callers."""

from __future__ import annotations

import json
import re

from tests.template.rules.registry import Findings, rule
from tests.template.stack import Template, as_number, function_of, of_type, target


@rule
def functions_are_bounded_and_watched(template: Template) -> Findings:
    for name, function in of_type(template, "Lambda::Function"):
        variables = function["Environment"]["Variables"]
        size = function.get("EphemeralStorage", {}).get("Size")
        log = template["Resources"].get(target(function.get("LoggingConfig", {}).get("LogGroup")), {})
        wrong = {
            "must run python3.13": function["Runtime"] != "python3.13",
            "must run on the architecture of the parameter": function["Architectures"] != [{"Ref": "Architecture"}],
            "must respond within API Gateway's 29 s": name != "Release" and function["Timeout"] > 29,
            "needs the ephemeral storage of the parameter": target(size) != "ScratchMegabytes",
            "needs a setting for the number of threads": "HEARTH_THREADS" not in variables,
            "needs MemorySize": "MemorySize" not in function,
            "needs ReservedConcurrentExecutions": "ReservedConcurrentExecutions" not in function,
            "must be traced": function.get("TracingConfig", {}).get("Mode") != "Active",
            "must stop recursive loops": function.get("RecursiveLoop") != "Terminate",
            "must log JSON": function.get("LoggingConfig", {}).get("LogFormat") != "JSON",
            "needs a log group of this template": log.get("Type") != "AWS::Logs::LogGroup",
            "must encrypt its environment with our key": target(function.get("KmsKeyArn")) != "Key",
            "must disable the telemetry of onnxruntime": variables.get("ORT_DISABLE_TELEMETRY") != "1",
            "must have a HOME that can be written": variables.get("HOME") != "/tmp",
            "must not carry secrets": bool(re.search(r"(?i)secret|password|AKIA", json.dumps(variables))),
            "needs the runtime layer last": not target(function["Layers"][-1]).startswith("RuntimeLayer"),
        }
        yield from (f"{name} {problem}" for problem, is_wrong in wrong.items() if is_wrong)


@rule
def openvino_replaces_the_core_layer(template: Template) -> Findings:
    """Both together are too large for Lambda, and other functions do not use OpenVINO."""
    layers = {name: layer for name, layer in template["Resources"].items() if name.startswith("OpenvinoLayer")}
    for name, layer in layers.items():
        if layer.get("Condition") != "OnOpenvino":
            yield f"{name} is deployed unconditionally"
        if layer["Properties"].get("CompatibleArchitectures") != ["x86_64"]:
            yield f"{name} has builds for x86_64 only"
    for name, function in of_type(template, "Lambda::Function"):
        conditions = [layer["Fn::If"] for layer in function["Layers"] if "Fn::If" in layer]
        choices = [condition for condition in conditions if target(condition[1]) != "AWS::NoValue"]
        has_choice = name in ("ImageClassification", "ObjectDetection")
        are_valid = [
            condition == "OnOpenvino" and target(if_true) in layers and target(if_false).startswith("CoreLayer")
            for condition, if_true, if_false in choices
        ]
        if are_valid != ([True] if has_choice else []):
            yield f"{name} {'must choose' if has_choice else 'must not choose'} between the core layer and OpenVINO's"
        if has_choice and any(target(layer).startswith(("CoreLayer", "OpenvinoLayer")) for layer in function["Layers"]):
            yield f"{name} has two layers with ONNX Runtime"


@rule
def mappings_report_single_failures(template: Template) -> Findings:
    for name, mapping in of_type(template, "Lambda::EventSourceMapping"):
        function = template["Resources"][function_of(template, mapping["FunctionName"])]["Properties"]
        maximum = mapping.get("ScalingConfig", {}).get("MaximumConcurrency")
        reserved = function.get("ReservedConcurrentExecutions", {"Fn::If": [None, 0]})["Fn::If"][1]
        if mapping.get("FunctionResponseTypes") != ["ReportBatchItemFailures"]:
            yield f"{name}: one bad message would fail its whole batch"
        if maximum is None or not 2 <= maximum < as_number(template, reserved):
            yield f"{name} needs a MaximumConcurrency below the reserved concurrency, so that requests can run"
        if mapping.get("BatchSize", 10) > 10:
            yield f"{name} takes more messages than fit into one timeout"


@rule
def permissions_name_their_source(template: Template) -> Findings:
    for name, permission in of_type(template, "Lambda::Permission"):
        if not (permission.get("SourceArn") or permission.get("SourceAccount")):
            yield f"{name} lets anyone's API invoke the function"
        if permission["Principal"] == "*":
            yield f"{name} lets anyone invoke the function"


@rule
def streaming_is_configured_consistently(template: Template) -> Findings:
    """A caller that expects a buffered response cannot read a stream, and vice versa."""
    paths = template["Resources"]["Api"]["Properties"]["Body"]["paths"]
    urls = {function_of(template, url["TargetFunctionArn"]): url for _, url in of_type(template, "Lambda::Url")}
    for name, function in of_type(template, "Lambda::Function"):
        variables = function["Environment"]["Variables"]
        streams = [trigger for trigger in variables.get("HEARTH_STREAM", "").split(",") if trigger]
        if bool(streams) != (variables.get("AWS_LAMBDA_EXEC_WRAPPER") == "/opt/bootstrap-stream"):
            yield f"{name} must have both AWS_LAMBDA_EXEC_WRAPPER and HEARTH_STREAM, or neither"
        for path, methods in paths.items():
            for method, operation in methods.items():
                integration = operation["x-amazon-apigateway-integration"]
                if f"${{{name}Aliaslive}}" not in json.dumps(integration):
                    continue
                uses_streaming_uri = "/response-streaming-invocations" in json.dumps(integration["uri"])
                uses_streaming_mode = integration.get("responseTransferMode") == "STREAM"
                if not uses_streaming_uri == uses_streaming_mode == ("rest" in streams):
                    yield f"{method.upper()} {path} and HEARTH_STREAM of {name} do not agree on streaming"
        url = urls.get(name, {})
        if url and url["AuthType"] != "AWS_IAM":
            yield f"{name} has a URL that anyone may call"
        if (url.get("InvokeMode") == "RESPONSE_STREAM") != ("url" in streams):
            yield f"the URL and HEARTH_STREAM of {name} do not agree on streaming"
