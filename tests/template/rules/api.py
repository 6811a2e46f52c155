"""The REST API: its routes, keys and logs."""

from __future__ import annotations

import json
import re

from tests.template.rules.registry import Findings, models_of, rule
from tests.template.stack import Template, of_type, target

OPEN_PATHS = {"/v2/health/live", "/openapi.json", "/docs", "/", "/page/{digest}/{file}"}


@rule
def routes_lead_to_a_function_of_their_model(template: Template) -> Findings:
    paths = template["Resources"]["Api"]["Properties"]["Body"]["paths"]
    functions_by_model: dict[str, set[str]] = {}
    for name, function in of_type(template, "Lambda::Function"):
        for model in models_of(function):
            functions_by_model.setdefault(model, set()).add(f"${{{name}Aliaslive}}")
        pipelines = [
            path for path, methods in paths.items() if f"${{{name}Aliaslive}}" in json.dumps(methods.get("post"))
        ]
        if models_of(function) and not any(path.startswith("/pipeline/") for path in pipelines):
            yield f"no POST /pipeline/TASK/{{name}} leads to {name}"
    for model, functions in functions_by_model.items():
        for method in ("get", "post"):
            operation = json.dumps(paths.get(f"/models/{model}", {}).get(method))
            if not any(function in operation for function in functions):
                yield f"{method.upper()} /models/{model} does not lead to a function that has it"


@rule
def routes_require_a_key(template: Template) -> Findings:
    body = template["Resources"]["Api"]["Properties"]["Body"]
    keyless_paths = set()
    for path, methods in body["paths"].items():
        for method in methods.values():
            if {"api_key": []} not in method.get("security", []):
                keyless_paths.add(path)
    yield from (f"{path} requires no key" for path in sorted(keyless_paths - OPEN_PATHS))
    if not list(of_type(template, "ApiGateway::UsagePlanKey")):
        yield "no API key belongs to a usage plan"
    for name, plan in of_type(template, "ApiGateway::UsagePlan"):
        yield from (f"{name} has no {limit}" for limit in ("Throttle", "Quota") if not plan.get(limit))


@rule
def the_api_does_not_log_or_change_payloads(template: Template) -> Findings:
    api = template["Resources"]["Api"]["Properties"]
    if "*/*" not in api.get("BinaryMediaTypes", []) and "*~1*" not in api.get("BinaryMediaTypes", []):
        yield "pictures would be corrupted: BinaryMediaTypes must have *~1*"
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
            "must not cache responses to private requests": bool(stage.get("CacheClusterEnabled")),
        }
        yield from (f"{name} {problem}" for problem, is_wrong in wrong.items() if is_wrong)


@rule
def access_is_restricted_by_parameter(template: Template) -> Findings:
    resources, api = template["Resources"], template["Resources"]["Api"]["Properties"]
    endpoint = api["Body"].get("x-amazon-apigateway-endpoint-configuration", {})
    firewall = json.dumps(resources.get("Firewall", {}))
    responses = api["Body"].get("x-amazon-apigateway-gateway-responses", {})
    wrong = {
        "stays open beside its own domain": "HasDomain" not in json.dumps(endpoint.get("disableExecuteApiEndpoint")),
        "has a domain that takes old TLS": '"SecurityPolicy": "TLS_1_2"' not in json.dumps(resources.get("Domain")),
        "has a firewall that guards nothing": resources.get("FirewallAssociation", {}).get("Condition")
        != "HasFirewall",
        "has a firewall without a rate": "RateBasedStatement" not in firewall,
        "has a firewall that refuses pictures": '"SizeRestrictions_BODY", "ActionToUse": {"Count"' not in firewall,
        "has no authoriser for tokens": "Cognito" not in api["Body"]["securityDefinitions"],
        "refuses large requests without naming /uploads": "/uploads"
        not in json.dumps(responses.get("REQUEST_TOO_LARGE")),
    }
    yield from (f"the API {problem}" for problem, is_wrong in wrong.items() if is_wrong)
