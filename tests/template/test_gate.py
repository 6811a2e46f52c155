"""The template passes the checks, and each of these single bad edits fails them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from hearth.task_table import TASKS
from tests.support.layers import FUNCTIONS, TASK_FUNCTIONS
from tests.template.gate import ACCEPTED, gate
from tests.template.rules import RULES, assertions, findings
from tests.template.stack import Template, by_default, of_type, read, translate

Edit = Callable[[dict[str, Any]], None]
FUNCTION = "TextClassification"


def properties(raw: Template, name: str) -> dict[str, Any]:
    return raw["Resources"][name]["Properties"]


def statements(raw: Template, role: str = "TextClassificationRole") -> list[dict[str, Any]]:
    return properties(raw, role)["Policies"][0]["PolicyDocument"]["Statement"]


def without(name: str, key: str) -> Edit:
    return lambda raw: properties(raw, name).pop(key)


def update(name: str, key: str, value: Any) -> Edit:
    return lambda raw: properties(raw, name).update({key: value})


def uploads(raw: Template) -> dict[str, Any]:
    return properties(raw, FUNCTION)["Events"]["Uploads"]["Properties"]


def method_settings(raw: Template) -> dict[str, Any]:
    return properties(raw, "Api")["MethodSettings"][0]


EDITS: dict[str, Edit] = {
    "every S3 action": lambda raw: statements(raw)[0].update(Action="s3:*"),
    "every artifact": lambda raw: statements(raw)[0].update(Resource={"Fn::Sub": "${ArtifactBucket.Arn}/*"}),
    "everything": lambda raw: statements(raw)[0].update(Resource="*"),
    "every key": lambda raw: statements(raw)[5].update(Resource="*"),
    "the key by itself": lambda raw: statements(raw)[6].pop("Condition"),
    "list without prefix": lambda raw: statements(raw)[1].pop("Condition"),
    "writes into uploads": lambda raw: statements(raw)[2].update(Action=["s3:GetObject", "s3:PutObject"]),
    "managed full access": update("CatalogRole", "ManagedPolicyArns", ["arn:aws:iam::aws:policy/AmazonS3FullAccess"]),
    "shared role": update("Catalog", "Role", {"Fn::GetAtt": ["TextClassificationRole", "Arn"]}),
    "secret in the environment": lambda raw: properties(raw, FUNCTION)["Environment"]["Variables"].update(PASSWORD="x"),
    "telemetry": lambda raw: raw["Globals"]["Function"]["Environment"]["Variables"].pop("ORT_DISABLE_TELEMETRY"),
    "old Python": lambda raw: raw["Globals"]["Function"].update(Runtime="python3.11"),
    "too slow for the API": lambda raw: raw["Globals"]["Function"].update(Timeout=60),
    "OpenVINO unasked": lambda raw: raw["Resources"]["OpenvinoLayer"].pop("Condition"),
    "OpenVINO on arm64": update("OpenvinoLayer", "CompatibleArchitectures", [{"Ref": "Architecture"}]),
    "OpenVINO beside the core layer": lambda raw: properties(raw, "ObjectDetection")["Layers"].insert(
        0, {"Ref": "CoreLayer"}
    ),
    "OpenVINO nowhere": update("ImageClassification", "Layers", [{"Ref": "CoreLayer"}, {"Ref": "RuntimeLayer"}]),
    "no reserve": without(FUNCTION, "ReservedConcurrentExecutions"),
    "untraced": lambda raw: raw["Globals"]["Function"].pop("Tracing"),
    "loops": lambda raw: raw["Globals"]["Function"].update(RecursiveLoop="Allow"),
    "no dead letters": without("TextClassificationQueue", "RedrivePolicy"),
    "short visibility": update("TextClassificationQueue", "VisibilityTimeout", 10),
    "plain queue": without("TextClassificationDeadLetters", "KmsMasterKeyId"),
    "anyone may send": lambda raw: properties(raw, "ImageClassificationQueuePolicy")["PolicyDocument"]["Statement"][
        0
    ].pop("Condition"),
    "whole batch fails": lambda raw: uploads(raw).pop("FunctionResponseTypes"),
    "uploads take all": lambda raw: uploads(raw).update(ScalingConfig={"MaximumConcurrency": 20}),
    "rule for another model": lambda raw: properties(raw, "ImageClassificationRule")["EventPattern"]["detail"][
        "object"
    ].update(key=[{"prefix": "uploads/"}]),
    "no events": without("UploadBucket", "NotificationConfiguration"),
    "public bucket": lambda raw: properties(raw, "UploadBucket")["PublicAccessBlockConfiguration"].update(
        BlockPublicPolicy=False
    ),
    "no versions": without("ArtifactBucket", "VersioningConfiguration"),
    "uploads for ever": lambda raw: properties(raw, "UploadBucket")["LifecycleConfiguration"]["Rules"][0].pop(
        "ExpirationInDays"
    ),
    "artifacts die with the stack": lambda raw: raw["Resources"]["ArtifactBucket"].update(DeletionPolicy="Delete"),
    "plain HTTP": lambda raw: properties(raw, "ResultBucketPolicy")["PolicyDocument"]["Statement"].pop(0),
    "open bucket": lambda raw: properties(raw, "ResultBucketPolicy")["PolicyDocument"]["Statement"][0].update(
        Effect="Allow"
    ),
    "no API keys": lambda raw: properties(raw, "Api").pop("Auth"),
    "one route without a key": lambda raw: properties(raw, FUNCTION)["Events"]["SentimentEn"]["Properties"].update(
        Auth={"ApiKeyRequired": False}
    ),
    "missing pipeline": lambda raw: properties(raw, "ObjectTracking")["Events"].pop("Pipeline"),
    "tracking takes other uploads": lambda raw: properties(raw, "ObjectTracking")["Environment"]["Variables"].pop(
        "HEARTH_UPLOAD_PREFIX"
    ),
    "a route that cannot stream": lambda raw: properties(raw, "TextGeneration")["Events"]["Chat"]["Properties"].pop(
        "ResponseTransferMode"
    ),
    "a route that streams without SAM's knowledge": lambda raw: properties(raw, "TextGeneration")["Events"]["Chat"][
        "Properties"
    ].update(ResponseTransferMode="STREAM"),
    "a stream from AWS's runtime": lambda raw: properties(raw, FUNCTION)["Events"]["SentimentEn"]["Properties"].update(
        ResponseTransferMode="RESPONSE_STREAM"
    ),
    "no runtime of our own": lambda raw: properties(raw, "TextGeneration")["Environment"]["Variables"].pop(
        "AWS_LAMBDA_EXEC_WRAPPER"
    ),
    "a URL for everyone": lambda raw: properties(raw, "TextGeneration")["FunctionUrlConfig"].update(AuthType="NONE"),
    "a URL that waits": lambda raw: properties(raw, "TextGeneration")["FunctionUrlConfig"].update(
        InvokeMode="BUFFERED"
    ),
    "no URL": without("TextGeneration", "FunctionUrlConfig"),
    "missing route": lambda raw: properties(raw, FUNCTION)["Events"].pop("SentimentZh"),
    "mangled pictures": without("Api", "BinaryMediaTypes"),
    "data trace": lambda raw: method_settings(raw).update(DataTraceEnabled=True),
    "no throttle": lambda raw: method_settings(raw).pop("ThrottlingRateLimit"),
    "no access log": without("Api", "AccessLogSetting"),
    "payload in the access log": update(
        "Api", "AccessLogSetting", {"DestinationArn": {"Fn::GetAtt": ["ApiLog", "Arn"]}, "Format": "$input.body"}
    ),
    "logs for ever": without("CatalogLog", "RetentionInDays"),
    "plain logs": without("ApiLog", "KmsKeyId"),
    "key without rotation": lambda raw: properties(raw, "Key").update(EnableKeyRotation=False),
    "no alias": lambda raw: raw["Globals"]["Function"].pop("AutoPublishAlias"),
    "everything at once": lambda raw: raw["Globals"]["Function"].pop("DeploymentPreference"),
    "a release without golden answers": lambda raw: raw["Globals"]["Function"]["DeploymentPreference"].pop("Hooks"),
    "a release that no alarm takes back": lambda raw: properties(raw, FUNCTION)["DeploymentPreference"].pop("Alarms"),
    "one architecture": lambda raw: raw["Globals"]["Function"].update(Architectures=["x86_64"]),
    "dead letters of another": lambda raw: statements(raw)[8].update(
        Resource={"Fn::GetAtt": ["FillMaskDeadLetters", "Arn"]}
    ),
    "dead letters unknown": lambda raw: properties(raw, FUNCTION)["Environment"]["Variables"].pop(
        "HEARTH_DEAD_LETTERS"
    ),
    "a function that deletes": lambda raw: statements(raw)[3].update(Action=["s3:PutObject", "s3:DeleteObject"]),
    "uploads reach all": lambda raw: statements(raw, "UploadsRole")[0].update(
        Resource={"Fn::Sub": "${UploadBucket.Arn}/*"}
    ),
    "a machine that invokes all": lambda raw: statements(raw, "BatchRole")[1].update(
        Resource={"Fn::GetAtt": ["Release", "Arn"]}
    ),
    "a machine of any account": lambda raw: properties(raw, "BatchRole")["AssumeRolePolicyDocument"]["Statement"][
        0
    ].pop("Condition"),
    "a machine that writes results": lambda raw: statements(raw, "BatchRole")[4].update(
        Resource={"Fn::Sub": "${ResultBucket.Arn}/*"}
    ),
    "a machine that logs keys": lambda raw: properties(raw, "BatchMachine")["Logging"].update(
        IncludeExecutionData=True
    ),
    "a machine without tolerance": lambda raw: properties(raw, "BatchMachine")["Definition"]["States"]["Objects"].pop(
        "ToleratedFailurePercentagePath"
    ),
    "objects one by one": lambda raw: properties(raw, "BatchMachine")["Definition"]["States"]["Objects"].pop(
        "ItemBatcher"
    ),
    "plain alarms": without("Alarms", "KmsMasterKeyId"),
    "alarms of anyone": lambda raw: properties(raw, "AlarmsPolicy")["PolicyDocument"]["Statement"][0].pop("Condition"),
    "alarms unheard": without("FillMaskDead", "AlarmActions"),
    "no alarm for errors": lambda raw: raw["Resources"].pop("FillMaskThrottles"),
    "no alarm for dead letters": lambda raw: raw["Resources"].pop("FillMaskDead"),
    "too much for CloudFormation": lambda raw: raw["Resources"].update(
        {f"Filler{number}": {"Type": "AWS::SNS::Topic"} for number in range(70)}
    ),
    "two domains": without("Api", "DisableExecuteApiEndpoint"),
    "a domain with old TLS": without("Domain", "SecurityPolicy"),
    "a firewall beside the way": lambda raw: raw["Resources"].pop("FirewallAssociation"),
    "a firewall that refuses pictures": lambda raw: properties(raw, "Firewall")["Rules"][1]["Statement"][
        "ManagedRuleGroupStatement"
    ].pop("RuleActionOverrides"),
    "too large, and nothing else said": lambda raw: properties(raw, "Api")["GatewayResponses"].pop("REQUEST_TOO_LARGE"),
    "key for every account": lambda raw: properties(raw, "Key")["KeyPolicy"]["Statement"][2].pop("Condition"),
}


def test_the_template_passes() -> None:
    assert gate(read()) == []


@pytest.mark.parametrize("name", EDITS)
def test_a_bad_edit_is_detected(name: str) -> None:
    raw = read()
    EDITS[name](raw)
    try:
        translated = translate(raw)
    except ValueError:
        return
    assert findings(translated), f"no rule objects to: {name}"


def test_a_circular_reference_is_detected_by_the_linter() -> None:
    raw = read()
    properties(raw, "TextClassificationDeadLetters")["RedriveAllowPolicy"]["sourceQueueArns"] = [
        {"Fn::GetAtt": ["TextClassificationQueue", "Arn"]}
    ]
    assert any("E3004" in finding for finding in gate(raw))


def test_the_rules_cover_the_template() -> None:
    translated = translate(read())
    print(f"{len(RULES)} rules, {assertions()} assertions, {len(EDITS)} mutations")
    assert len(RULES) >= 20
    assert assertions() >= 100
    assert len(list(of_type(translated, "Lambda::Function"))) == len(FUNCTIONS)
    assert len(list(of_type(translated, "Lambda::EventSourceMapping"))) == len(TASK_FUNCTIONS)


def test_every_function_has_its_layers_and_a_route_for_each_task() -> None:
    raw = read()
    for folder, layers in FUNCTIONS.items():
        function = properties(raw, folder.title().replace("_", ""))
        assert function["CodeUri"] == f"functions/{folder}/"
        assert [by_default(layer)["Ref"] for layer in function["Layers"]] == [
            f"{layer.title()}Layer" for layer in layers
        ]
        routes = {event["Properties"].get("Path") for event in function.get("Events", {}).values()}
        assert {f"/pipeline/{task}/{{name}}" for task, row in TASKS.items() if row.function == folder} <= routes


def test_accepted_findings_have_reasons() -> None:
    assert all(len(reason) > 20 for reason in ACCEPTED.values())
