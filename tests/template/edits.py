"""Single bad edits of the template, by what they break. A rule of the gate must object to each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Edit = Callable[[dict[str, Any]], None]


def properties(raw: dict[str, Any], name: str) -> dict[str, Any]:
    return raw["Resources"][name]["Properties"]


def without(name: str, *path: str | int) -> Edit:
    """Remove what is at `path` below the properties of a resource."""

    def edit(raw: dict[str, Any]) -> None:
        place: Any = properties(raw, name)
        for step in path[:-1]:
            place = place[step]
        place.pop(path[-1])

    return edit


def change(name: str, *path: Any, to: Any) -> Edit:
    """Replace what is at `path` below the properties of a resource."""

    def edit(raw: dict[str, Any]) -> None:
        place: Any = properties(raw, name)
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = to

    return edit


def unconditional(role: str, number: int) -> Edit:
    """Grant a statement of a role whatever its condition says."""

    def edit(raw: dict[str, Any]) -> None:
        listed = properties(raw, role)["Policies"][0]["PolicyDocument"]["Statement"]
        listed[number] = listed[number]["Fn::If"][1]

    return edit


def removed(name: str) -> Edit:
    return lambda raw: raw["Resources"].pop(name)


def of_globals(key: str, value: Any = None) -> Edit:
    def edit(raw: dict[str, Any]) -> None:
        if value is None:
            raw["Globals"]["Function"].pop(key)
        else:
            raw["Globals"]["Function"][key] = value

    return edit


def variable(function: str, name: str) -> Edit:
    return without(function, "Environment", "Variables", name)


def global_variable(name: str) -> Edit:
    return lambda raw: raw["Globals"]["Function"]["Environment"]["Variables"].pop(name)


def statement(role: str, number: int, key: str, value: Any = None) -> Edit:
    """Change or remove a key of the statement of a role."""
    path = ("Policies", 0, "PolicyDocument", "Statement", number, key)
    return change(role, *path, to=value) if value is not None else without(role, *path)


def operation(path: str, method: str, key: str, value: Any = None) -> Edit:
    """Change or remove a key of an operation of the API."""
    place = ("DefinitionBody", "paths", path, method, key)
    return change("Api", *place, to=value) if value is not None else without("Api", *place)


def integration(path: str, method: str, key: str, value: Any = None) -> Edit:
    place = ("DefinitionBody", "paths", path, method, "x-amazon-apigateway-integration", key)
    return change("Api", *place, to=value) if value is not None else without("Api", *place)


def parameter(name: str, key: str, value: Any) -> Edit:
    return lambda raw: raw["Parameters"][name].update({key: value})


def resource(name: str, key: str, value: Any = None) -> Edit:
    def edit(raw: dict[str, Any]) -> None:
        if value is None:
            raw["Resources"][name].pop(key)
        else:
            raw["Resources"][name][key] = value

    return edit


PATHS = ("DefinitionBody", "paths")
ROUTES = {
    f"no {method.upper()} {path}": without("Api", *PATHS, path, method)
    for path, method in (
        ("/models/{name}", "post"),
        ("/models/{name}", "get"),
        ("/models/{name}", "options"),
        ("/models/{name}/{proxy+}", "post"),
        ("/models/{name}/{proxy+}", "get"),
        ("/pipeline/{task}/{name}", "post"),
        ("/endpoints/{name}/invocations", "post"),
        ("/v1/{proxy+}", "post"),
        ("/v1/models", "get"),
        ("/v1/models/{name}", "get"),
        ("/v2/{proxy+}", "get"),
        ("/v2/{proxy+}", "post"),
        ("/v2", "get"),
        ("/v2/models", "get"),
        ("/v2/repository/index", "post"),
        ("/v2/health/live", "get"),
        ("/models", "get"),
        ("/ping", "get"),
        ("/uploads", "post"),
        ("/results/{id}", "get"),
        ("/results/{id}", "delete"),
        ("/openapi.json", "get"),
        ("/docs", "get"),
        ("/", "get"),
        ("/page/{digest}/{file}", "get"),
    )
}
ROLES = {
    "every S3 action": statement("SharedRole", 0, "Action", "s3:*"),
    "every artifact": statement("SharedRole", 0, "Resource", {"Fn::Sub": "${ArtifactBucket.Arn}/*"}),
    "everything": statement("SharedRole", 0, "Resource", "*"),
    "list without prefix": statement("SharedRole", 1, "Condition"),
    "requests read no uploads": without("SharedRole", "Policies", 0, "PolicyDocument", "Statement", 2),
    "requests write into uploads": statement("SharedRole", 2, "Action", ["s3:GetObject", "s3:PutObject"]),
    "requests cannot decrypt": without("SharedRole", "Policies", 0, "PolicyDocument", "Statement", 3),
    "no log of requests": without("SharedRole", "Policies", 0, "PolicyDocument", "Statement", 4),
    "counts that nobody asked for": unconditional("SharedRole", 6),
    "inputs that nobody asked for": unconditional("JobsRole", -1),
    "no traces": without("SharedRole", "Policies", 0, "PolicyDocument", "Statement", 5),
    "the key by itself": lambda raw: properties(raw, "JobsRole")["Policies"][0]["PolicyDocument"]["Statement"][6][
        "Fn::If"
    ][1].pop("Condition"),
    "every key": lambda raw: properties(raw, "JobsRole")["Policies"][0]["PolicyDocument"]["Statement"][5]["Fn::If"][
        1
    ].update(Resource="*"),
    "jobs read no batch": lambda raw: properties(raw, "JobsRole")["Policies"][0]["PolicyDocument"]["Statement"][2][
        "Resource"
    ].pop(),
    "jobs read no version": statement("JobsRole", 2, "Action", "s3:GetObject"),
    "jobs that delete": statement("JobsRole", 3, "Action", ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"]),
    "jobs that write no result": statement("JobsRole", 3, "Action", "s3:GetObject"),
    "jobs without 404": without("JobsRole", "Policies", 0, "PolicyDocument", "Statement", 4),
    "jobs that leave messages": statement("JobsRole", 7, "Action", ["sqs:ReceiveMessage", "sqs:GetQueueAttributes"]),
    "no dead letters with a reason": without("JobsRole", "Policies", 0, "PolicyDocument", "Statement", 8),
    "no announcements": without("JobsRole", "Policies", 0, "PolicyDocument", "Statement", 9),
    "announcements of anyone": lambda raw: properties(raw, "JobsRole")["Policies"][0]["PolicyDocument"]["Statement"][9][
        "Fn::If"
    ][1].pop("Condition"),
    "dead letters anywhere": statement("JobsRole", 8, "Resource", {"Fn::GetAtt": ["Queue", "Arn"]}),
    "no catalogue": lambda raw: properties(raw, "CatalogRole")["Policies"][0]["PolicyDocument"]["Statement"][0][
        "Resource"
    ].pop(0),
    "the catalog reads weights": statement("CatalogRole", 0, "Resource", {"Fn::Sub": "${ArtifactBucket.Arn}/models/*"}),
    "tickets for all": statement("CatalogRole", 2, "Resource", {"Fn::Sub": "${UploadBucket.Arn}/*"}),
    "results that stay": statement("CatalogRole", 3, "Action", ["s3:GetObject"]),
    "managed full access": change(
        "CatalogRole", "ManagedPolicyArns", to=["arn:aws:iam::aws:policy/AmazonS3FullAccess"]
    ),
    "shared role": change("Catalog", "Role", to={"Fn::GetAtt": ["SharedRole", "Arn"]}),
    "a role for other services": change(
        "SharedRole", "AssumeRolePolicyDocument", "Statement", 0, "Principal", to={"AWS": "*"}
    ),
    "a machine that invokes all": statement("BatchRole", 1, "Resource", {"Fn::GetAtt": ["Release", "Arn"]}),
    "a machine of any account": without("BatchRole", "AssumeRolePolicyDocument", "Statement", 0, "Condition"),
    "a machine that writes results": statement("BatchRole", 4, "Resource", {"Fn::Sub": "${ResultBucket.Arn}/*"}),
    "a release that invokes nothing": without("ReleaseRole", "Policies", 0, "PolicyDocument", "Statement", 0),
    "a deployment that invokes all": statement("DeploymentRole", 1, "Resource", {"Fn::GetAtt": ["Shared", "Arn"]}),
}
FUNCTIONS = {
    "secret in the environment": change("Shared", "Environment", "Variables", "PASSWORD", to="x"),
    "telemetry": global_variable("ORT_DISABLE_TELEMETRY"),
    "no store": global_variable("HEARTH_STORE"),
    "no uploads": global_variable("HEARTH_UPLOADS"),
    "unsigned models": global_variable("HEARTH_VERIFY_KEYS"),
    "an endless cache": global_variable("HEARTH_CACHE_DISK_MB"),
    "a cache on a read-only disk": global_variable("HEARTH_CACHE_DIR"),
    "no home": global_variable("HOME"),
    "no threads": global_variable("HEARTH_THREADS"),
    "no origins": global_variable("HEARTH_CORS_ORIGINS"),
    "a model by name": change("Shared", "Environment", "Variables", "HEARTH_MODELS", to="sentiment-en"),
    "old Python": of_globals("Runtime", "python3.11"),
    "another handler": of_globals("Handler", "app.handler"),
    "untraced": of_globals("Tracing"),
    "loops": of_globals("RecursiveLoop", "Allow"),
    "one architecture": of_globals("Architectures", ["x86_64"]),
    "no scratch": of_globals("EphemeralStorage"),
    "plain environment": of_globals("KmsKeyArn"),
    "no alias": of_globals("AutoPublishAlias"),
    "everything at once": of_globals("DeploymentPreference"),
    "a release without golden answers": lambda raw: raw["Globals"]["Function"]["DeploymentPreference"].pop("Hooks"),
    "a release that no alarm takes back": change("Jobs", "DeploymentPreference", "Alarms", to=[]),
    "a release that another alarm takes back": change(
        "Jobs", "DeploymentPreference", "Alarms", to=[{"Ref": "CatalogErrors"}]
    ),
    "requests of 29 s": change("Shared", "Timeout", to=29),
    "requests of an hour": parameter("RequestSeconds", "MaxValue", 3600),
    "films of 29 s": change("Jobs", "Timeout", to=29),
    "a slow catalogue": change("Catalog", "Timeout", to=60),
    "no layer for films": without("Jobs", "Layers", 3),
    "no layer for sound": without("Shared", "Layers", 2),
    "our runtime below": lambda raw: properties(raw, "Shared")["Layers"].reverse(),
    "no memory": without("Shared", "MemorySize"),
    "no snapshots": without("Shared", "SnapStart"),
    "no warm environments": without("Shared", "ProvisionedConcurrencyConfig"),
    "no reserve": without("Shared", "ReservedConcurrentExecutions"),
    "a reserve by default": parameter("Concurrency", "Default", 20),
    "a reserve of the catalogue": change("Catalog", "ReservedConcurrentExecutions", to=20),
    "a concurrency that AWS refuses": parameter("JobsConcurrency", "MinValue", 1),
    "provisioned by default": parameter("ProvisionedConcurrency", "Default", 1),
    "no log format": without("Jobs", "LoggingConfig", "LogFormat"),
    "results nowhere": variable("Jobs", "HEARTH_OUTPUT"),
    "results unknown": variable("Catalog", "HEARTH_OUTPUT"),
    "announced nowhere": variable("Jobs", "HEARTH_EVENT_BUS"),
    "no webhook": variable("Jobs", "HEARTH_WEBHOOK"),
    "webhook unsigned": variable("Jobs", "HEARTH_WEBHOOK_KEY"),
    "dead letters unknown": variable("Jobs", "HEARTH_DEAD_LETTERS"),
    "no runtime of our own": variable("Shared", "AWS_LAMBDA_EXEC_WRAPPER"),
    "no streams": variable("Shared", "HEARTH_STREAM"),
    "streams of the API alone": change("Shared", "Environment", "Variables", "HEARTH_STREAM", to="rest"),
    "a URL for everyone": change("Shared", "FunctionUrlConfig", "AuthType", to="NONE"),
    "a URL that waits": change("Shared", "FunctionUrlConfig", "InvokeMode", to="BUFFERED"),
    "a URL of one origin": without("Shared", "FunctionUrlConfig", "Cors"),
    "no URL": without("Shared", "FunctionUrlConfig"),
    "whole batch fails": without("Jobs", "Events", "Uploads", "Properties", "FunctionResponseTypes"),
    "uploads take all": without("Jobs", "Events", "Uploads", "Properties", "ScalingConfig"),
    "large batches": change("Jobs", "Events", "Uploads", "Properties", "BatchSize", to=100),
    "no worker": without("Jobs", "Events"),
}
API = {
    "no API keys": operation("/models/{name}", "post", "security"),
    "a key for health checks": operation("/v2/health/live", "get", "security", [{"api_key": []}]),
    "a key for preflights": operation("/uploads", "options", "security", [{"api_key": []}]),
    "keys without the authorizer": operation("/models", "get", "security", [{"api_key": []}]),
    "no signatures": without("Api", "DefinitionBody", "securityDefinitions", "iam"),
    "no tokens": without("Api", "DefinitionBody", "securityDefinitions", "cognito"),
    "a pool for nothing": resource("UserPool", "Condition"),
    "no plan": lambda raw: properties(raw, "Api").pop("Auth"),
    "caller's credentials": integration("/models/{name}", "post", "credentials", "arn:aws:iam::*:user/*"),
    "a route that cannot stream": integration("/v1/{proxy+}", "post", "responseTransferMode"),
    "a stream of 29 s": integration("/models/{name}", "post", "timeoutInMillis"),
    "a stream from AWS's runtime": integration("/models", "get", "responseTransferMode", "STREAM"),
    "invoked by GET": integration("/models", "get", "httpMethod", "GET"),
    "no proxy": integration("/models", "get", "type", "aws"),
    "a catalogue with models": lambda raw: properties(raw, "Api")["DefinitionBody"]["paths"]["/models/{name}"].update(
        post=properties(raw, "Api")["DefinitionBody"]["paths"]["/models"]["get"]
    ),
    "no permission": removed("SharedPermission"),
    "a permission for a route": change(
        "CatalogPermission", "SourceArn", to={"Fn::Sub": "arn:aws:execute-api:us-east-1:1:${Api}/*/GET/models"}
    ),
    "a permission for anyone": without("CatalogPermission", "SourceArn"),
    "a permission beside the alias": change("CatalogPermission", "FunctionName", to={"Ref": "Catalog"}),
    "403 for an unknown path": without("Api", "GatewayResponses", "MISSING_AUTHENTICATION_TOKEN"),
    "throttled for ever": without(
        "Api", "GatewayResponses", "THROTTLED", "ResponseParameters", "Headers", "Retry-After"
    ),
    "errors that pages cannot read": without("Api", "GatewayResponses", "DEFAULT_5XX"),
    "too large, and nothing else said": without("Api", "GatewayResponses", "REQUEST_TOO_LARGE"),
    "mangled pictures": without("Api", "BinaryMediaTypes"),
    "data trace": change("Api", "MethodSettings", 0, "DataTraceEnabled", to=True),
    "metrics of each method": change("Api", "MethodSettings", 0, "MetricsEnabled", to=True),
    "no throttle": without("Api", "MethodSettings", 0, "ThrottlingRateLimit"),
    "no access log": without("Api", "AccessLogSetting"),
    "payload in the access log": change("Api", "AccessLogSetting", "Format", to="$input.body"),
    "an edge that cuts streams": change("Api", "EndpointConfiguration", "Type", to="EDGE"),
    "logs before their role": resource("Api", "DependsOn"),
    "a region without logs": resource("ApiLoggingRole", "DeletionPolicy"),
    "a log setting unasked": resource("ApiLogging", "Condition"),
    "two domains": without("Api", "DisableExecuteApiEndpoint"),
    "a domain with old TLS": without("Domain", "SecurityPolicy"),
    "a domain of nothing": removed("DomainMapping"),
    "a firewall beside the way": removed("FirewallAssociation"),
    "a firewall that refuses pictures": without(
        "Firewall", "Rules", 1, "Statement", "ManagedRuleGroupStatement", "RuleActionOverrides"
    ),
}
STORAGE = {
    "no dead letters": without("Queue", "RedrivePolicy"),
    "short visibility": change("Queue", "VisibilityTimeout", to=180),
    "plain queue": without("DeadLetters", "SqsManagedSseEnabled"),
    "a queue with another key": without("Queue", "KmsMasterKeyId"),
    "dead letters of anyone": without("DeadLetters", "RedriveAllowPolicy"),
    "anyone may send": without("QueuePolicy", "PolicyDocument", "Statement", 0, "Condition"),
    "plain HTTP to the queue": without("QueuePolicy", "PolicyDocument", "Statement", 1),
    "a queue without policy": change("QueuePolicy", "Queues", to=[{"Ref": "Queue"}]),
    "no films": without("UploadRule", "EventPattern", "detail", "object", "key", 1),
    "batches twice": lambda raw: properties(raw, "UploadRule")["EventPattern"]["detail"]["object"]["key"].append(
        {"prefix": "batch/"}
    ),
    "every bucket": without("UploadRule", "EventPattern", "detail", "bucket"),
    "every event": without("UploadRule", "EventPattern", "detail-type"),
    "events that vanish": without("UploadRule", "Targets", 0, "DeadLetterConfig"),
    "no events": without("UploadBucket", "NotificationConfiguration"),
    "no forms from pages": without("UploadBucket", "CorsConfiguration"),
    "no forms from our page": without("UploadBucket", "CorsConfiguration", "CorsRules", 0),
    "no forms from the domain's page": without("UploadBucket", "CorsConfiguration", "CorsRules", 1),
    "forms from every page": change(
        "UploadBucket", "CorsConfiguration", "CorsRules", 2, to={"AllowedOrigins": ["*"], "AllowedMethods": ["POST"]}
    ),
    "pages read uploads": change("UploadBucket", "CorsConfiguration", "CorsRules", 0, "AllowedMethods", to=["GET"]),
    "public bucket": change("UploadBucket", "PublicAccessBlockConfiguration", "BlockPublicPolicy", to=False),
    "no versions": without("ArtifactBucket", "VersioningConfiguration"),
    "plain bucket": without("ResultBucket", "BucketEncryption"),
    "uploads for ever": without("UploadBucket", "LifecycleConfiguration", "Rules", 0, "ExpirationInDays"),
    "artifacts die with the stack": resource("ArtifactBucket", "DeletionPolicy", "Delete"),
    "plain HTTP": without("ResultBucketPolicy", "PolicyDocument", "Statement", 0),
    "open bucket": change("ResultBucketPolicy", "PolicyDocument", "Statement", 0, "Effect", to="Allow"),
    "logs for ever": without("CatalogLog", "RetentionInDays"),
    "plain logs": without("ApiLog", "KmsKeyId"),
    "key without rotation": change("Key", "EnableKeyRotation", to=False),
    "a key unasked": resource("Key", "Condition"),
    "key for every account": without("Key", "KeyPolicy", "Statement", 2, "Condition"),
}
OPERATIONS = {
    "a machine that logs keys": change("BatchMachine", "Logging", "IncludeExecutionData", to=True),
    "a machine without tolerance": without(
        "BatchMachine", "Definition", "States", "Objects", "ToleratedFailurePercentagePath"
    ),
    "objects one by one": without("BatchMachine", "Definition", "States", "Objects", "ItemBatcher"),
    "plain alarms": without("Alarms", "KmsMasterKeyId"),
    "alarms of anyone": without("AlarmsPolicy", "PolicyDocument", "Statement", 0, "Condition"),
    "alarms unheard": without("UploadsFailed", "AlarmActions"),
    "alarms of another function": change("JobsErrors", "Dimensions", 0, "Value", to={"Ref": "Shared"}),
    **{f"no alarm {name}": removed(name) for name in ("SharedThrottles", "UploadsFailed", "UploadsWaiting", "Cost")},
    "cost of half": without("Cost", "Metrics", 2),
    "a dashboard unasked": resource("CloudWatchDashboard", "Condition"),
    "a key by default": parameter("CustomerKey", "Default", "true"),
    "too many resources": lambda raw: raw["Resources"].update(
        {f"Filler{number}": {"Type": "AWS::SNS::Topic"} for number in range(40)}
    ),
}
EDITS: dict[str, Edit] = ROUTES | ROLES | FUNCTIONS | API | STORAGE | OPERATIONS
