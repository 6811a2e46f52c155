"""The REST API: its routes, keys, errors and logs."""

from __future__ import annotations

import json
import re
from typing import Any

from hearth.protocols.router import protocols
from tests.template.rules.registry import Findings, if_condition, rule
from tests.template.stack import Resource, Template, of_type, target

PUBLIC_PATHS = {"/v2/health/live", "/openapi.json", "/docs", "/", "/page/{digest}/{file}"}
CONTAINER_ROUTES = {"/invocations", "/metrics"}
"""Routes of containers and servers: one has a single model, the other metrics of a process that lasts."""
CATALOG_PREFIXES = ("/uploads", "/results")
GATEWAY_ERRORS = {
    "THROTTLED": "429",
    "QUOTA_EXCEEDED": "429",
    "INTEGRATION_TIMEOUT": "504",
    "REQUEST_TOO_LARGE": "413",
    "INVALID_API_KEY": "401",
    "UNAUTHORIZED": "401",
    "WAF_FILTERED": "403",
    "MISSING_AUTHENTICATION_TOKEN": "404",
}


def _paths(template: Template) -> dict[str, dict[str, Any]]:
    paths: dict[str, dict[str, Any]] = template["Resources"]["Api"]["Properties"]["Body"]["paths"]
    return paths


def _best_path(paths: dict[str, Any], path: str) -> str:
    """The path that API Gateway chooses: exact segments win over parameters, and parameters over {proxy+}."""
    matches = []
    for candidate in paths:
        pattern = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(candidate).replace(r"\{proxy\+\}", ".+"))
        if re.fullmatch(pattern, path):
            matches.append(candidate)
    return max(matches, key=lambda match: ("proxy+" not in match, -match.count("{"), match.count("/")), default="")


def _function(operation: Any) -> str:
    found = re.search(r'"Ref": "(\w+)Aliaslive"', json.dumps(operation))
    return found[1] if found else ""


@rule
def every_route_of_every_protocol_leads_to_its_function(template: Template) -> Findings:
    paths = _paths(template)
    for protocol in protocols():
        for route in protocol.routes:
            if route.path in CONTAINER_ROUTES:
                continue
            operation = paths.get(_best_path(paths, re.sub(r"\{\w+\}", "x", route.path)), {}).get(route.method.lower())
            if operation is None:
                yield f"{route.method} {route.path} leads nowhere"
                continue
            needs_a_model = route.model_name is not None or (route.method, route.path[:4]) == ("POST", "/v1/")
            if needs_a_model and _function(operation) != "Shared":
                yield f"{route.method} {route.path} does not lead to the shared function"
            if route.path.startswith(CATALOG_PREFIXES) and _function(operation) != "Catalog":
                yield f"{route.method} {route.path} does not lead to the function that may read results"


@rule
def the_page_and_the_documentation_have_paths(template: Template) -> Findings:
    for path in sorted(PUBLIC_PATHS):
        if _function(_paths(template).get(path, {}).get("get")) != "Catalog":
            yield f"GET {path} does not lead to the catalog"


@rule
def integrations_fit_their_functions(template: Template) -> Findings:
    """A caller that expects a buffered response cannot read a stream, and vice versa."""
    functions = dict(of_type(template, "Lambda::Function"))
    for path, methods in _paths(template).items():
        for method, operation in methods.items():
            integration = operation["x-amazon-apigateway-integration"]
            function = functions.get(_function(integration), {})
            variables = function.get("Environment", {}).get("Variables", {})
            streams = "rest" in variables.get("HEARTH_STREAM", "").split(",")
            wrong = {
                "leads to no function of the stack": not function,
                "must be a proxy integration": integration.get("type") != "aws_proxy",
                "must invoke with POST": integration.get("httpMethod") != "POST",
                "would need the caller's permission to invoke": "credentials" in integration,
                "has another URI than its function's runtime": streams
                != ("/response-streaming-invocations" in json.dumps(integration.get("uri"))),
                "has another transfer mode than its function's runtime": streams
                != (integration.get("responseTransferMode") == "STREAM"),
                "ends after 29 s": streams and integration.get("timeoutInMillis") != 900_000,
                "takes more than API Gateway allows": not streams and integration.get("timeoutInMillis", 0) > 29_000,
            }
            yield from (f"{method.upper()} {path} {problem}" for problem, is_wrong in wrong.items() if is_wrong)


@rule
def requests_bring_a_key_and_preflights_none(template: Template) -> Findings:
    body = template["Resources"]["Api"]["Properties"]["Body"]
    for path, methods in _paths(template).items():
        for method, operation in methods.items():
            is_public = path in PUBLIC_PATHS or method == "options"
            schemes = _schemes(operation.get("security"))
            if is_public and schemes is not None:
                yield f"{method.upper()} {path} is public, but needs a key"
            if not is_public and schemes != [{"api_key", "iam"}, {"api_key", "cognito"}, {"api_key"}]:
                yield f"{method.upper()} {path} does not require a key and what Authorizer says"
        if "options" not in methods and path not in PUBLIC_PATHS:
            yield f"{path} answers no preflight request"
    definitions = body.get("securityDefinitions", {})
    wrong = {
        "has no API keys": definitions.get("api_key") != {"type": "apiKey", "name": "x-api-key", "in": "header"},
        "has no signed requests": definitions.get("iam", {}).get("x-amazon-apigateway-authtype") != "awsSigv4",
        "has no tokens": "cognito_user_pools" not in json.dumps(definitions.get("cognito")),
        "has a user pool that nothing uses": template["Resources"]["UserPool"].get("Condition") != "MakeUserPool",
        "has no key in a usage plan": not list(of_type(template, "ApiGateway::UsagePlanKey")),
    }
    yield from (f"the API {problem}" for problem, is_wrong in wrong.items() if is_wrong)
    for name, plan in of_type(template, "ApiGateway::UsagePlan"):
        yield from (f"{name} has no {limit}" for limit in ("Throttle", "Quota") if not plan.get(limit))


def _schemes(security: Any) -> list[set[str]] | None:
    """The security schemes with AWS_IAM, with Cognito and without; None: the operation is public."""
    if not security:
        return None
    iam, other = if_condition(security, "WithIam")
    cognito, plain = if_condition(other, "WithCognito")
    return [{scheme for entry in choice for scheme in entry} for choice in (iam, cognito, plain)]


@rule
def one_permission_lets_the_api_invoke_a_function(template: Template) -> Findings:
    """A permission for each route would fill the alias's policy of 20,480 bytes."""
    called = {_function(operation) for methods in _paths(template).values() for operation in methods.values()}
    granted = [
        target(permission["FunctionName"]).removesuffix("Aliaslive")
        for _, permission in of_type(template, "Lambda::Permission")
        if permission["Principal"] == "apigateway.amazonaws.com"
        and json.dumps(permission.get("SourceArn", "")).endswith('${Api}/*/*/*"}')
    ]
    for function in sorted(called):
        if granted.count(function) != 1:
            yield f"{granted.count(function)} permissions let the API invoke {function}, not one"
    yield from (f"the API may invoke {extra}, which no path calls" for extra in sorted(set(granted) - called))


@rule
def errors_of_the_gateway_read_like_ours(template: Template) -> Findings:
    responses = template["Resources"]["Api"]["Properties"]["Body"].get("x-amazon-apigateway-gateway-responses", {})
    for name, status in GATEWAY_ERRORS.items():
        response: Resource = responses.get(name, {})
        text = response.get("responseTemplates", {}).get("application/json", "{}")
        if str(response.get("statusCode")) != status or not {"error", "error_type"} <= set(json.loads(text)):
            yield f"{name} must be answered with {status} and an error in our format"
        if status == "429" and "gatewayresponse.header.Retry-After" not in response.get("responseParameters", {}):
            yield f"{name} does not say when to retry"
    for name in (*GATEWAY_ERRORS, "DEFAULT_4XX", "DEFAULT_5XX"):
        if "Access-Control-Allow-Origin" not in json.dumps(responses.get(name)):
            yield f"a page of another origin cannot read {name}"
    if "/uploads" not in json.dumps(responses.get("REQUEST_TOO_LARGE")):
        yield "REQUEST_TOO_LARGE does not name /uploads"


@rule
def pages_of_other_origins_are_allowed_by_parameter(template: Template) -> Findings:
    bucket = template["Resources"]["UploadBucket"]["Properties"]
    own, *others = bucket.get("CorsConfiguration", {}).get("CorsRules") or [{}]
    if "execute-api" not in json.dumps(own.get("AllowedOrigins")):
        yield "UploadBucket does not accept forms from the page of the API"
    by_condition = {name: if_condition(rule, name) for rule in others for name in rule.get("Fn::If", ())[:1]}
    for name, origin in {"HasDomain": "DomainName", "HasCors": "CorsOrigins"}.items():
        allowed, otherwise = by_condition.get(name, ({}, None))
        if otherwise != {"Ref": "AWS::NoValue"} or origin not in json.dumps(allowed.get("AllowedOrigins")):
            yield f"UploadBucket does not accept forms from the pages of {origin}, or from others too"
    rules = [own, *(allowed for allowed, _ in by_condition.values())]
    if len(rules) != 1 + len(others) or any(rule.get("AllowedMethods") != ["POST"] for rule in rules):
        yield "pages may only post forms to UploadBucket"
    for name, function in of_type(template, "Lambda::Function"):
        if "CorsOrigins" not in json.dumps(function["Environment"]["Variables"].get("HEARTH_CORS_ORIGINS")):
            yield f"{name} does not know CorsOrigins"
    for name, url in of_type(template, "Lambda::Url"):
        if "CorsOrigins" not in json.dumps(url.get("Cors")):
            yield f"{name} does not know CorsOrigins"


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
            "pays for metrics of each method": settings.get("MetricsEnabled") is not False,
            "must be traced": stage.get("TracingEnabled") is not True,
            "needs an access log": target(log.get("DestinationArn")) != "ApiLog",
            "logs payload": bool(re.search(r"querystring|\.path\b|body|header|input", log.get("Format", ""))),
            "must not cache responses to private requests": bool(stage.get("CacheClusterEnabled")),
        }
        yield from (f"{name} {problem}" for problem, is_wrong in wrong.items() if is_wrong)


@rule
def the_accounts_log_setting_comes_first_and_stays(template: Template) -> Findings:
    """API Gateway refuses a stage with logs before the account has a role, and other APIs use the same role."""
    resources = template["Resources"]
    if "ApiLogging" not in json.dumps(resources["Api"].get("DependsOn", [])):
        yield "Api does not wait for ApiLogging"
    for name in ("ApiLogging", "ApiLoggingRole"):
        if resources[name].get("DeletionPolicy") != "Retain":
            yield f"{name} is deleted with the stack, and with it the logs of the region's other APIs"
        if resources[name].get("Condition") != "SetApiLoggingRole":
            yield f"{name} replaces the account's setting without being asked"


@rule
def access_is_restricted_by_parameter(template: Template) -> Findings:
    resources, api = template["Resources"], template["Resources"]["Api"]["Properties"]
    endpoint = api["Body"].get("x-amazon-apigateway-endpoint-configuration", {})
    firewall = json.dumps(resources.get("Firewall", {}))
    wrong = {
        "stays open beside its own domain": "HasDomain" not in json.dumps(endpoint.get("disableExecuteApiEndpoint")),
        "has a domain that takes old TLS": '"SecurityPolicy": "TLS_1_2"' not in json.dumps(resources.get("Domain")),
        "has a domain without a mapping": resources.get("DomainMapping", {}).get("Condition") != "HasDomain",
        "has a firewall that guards nothing": resources.get("FirewallAssociation", {}).get("Condition")
        != "HasFirewall",
        "has a firewall without a rate": "RateBasedStatement" not in firewall,
        "has a firewall that refuses pictures": '"SizeRestrictions_BODY", "ActionToUse": {"Count"' not in firewall,
        "is cut at 30 s without data": api.get("EndpointConfiguration", {}).get("Types") != ["REGIONAL"],
    }
    yield from (f"the API {problem}" for problem, is_wrong in wrong.items() if is_wrong)
