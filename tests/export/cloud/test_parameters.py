from __future__ import annotations

import pytest

from hearth_build.cloud.parameters import COMBINATIONS, Parameter, Template
from hearth_build.cloud.sam_deploy import TEMPLATE


def test_every_default_of_the_template_is_valid() -> None:
    template = Template.read(TEMPLATE)
    assert len(template.parameters) > 10
    assert template.runtime == "python3.13"
    for parameter in template.parameters.values():
        assert parameter.default is not None
        assert parameter.validate(parameter.default) == ""


def test_a_parameter_outside_its_limits_is_wrong() -> None:
    number = Parameter("N", "Number", "1", minimum=1, maximum=2)
    assert [number.validate(value) for value in ("1", "2")] == ["", ""]
    assert number.validate("2.5") == "N must be at most 2, not 2.5."


REFUSED = {
    "SnapStart=PublishedVersions ProvisionedConcurrency=1": "SnapStart or ProvisionedConcurrency, not both",
    "SnapStart=PublishedVersions ScratchMegabytes=1024": "only with ScratchMegabytes=512",
    "CacheMegabytes=512": "leave 64 of ScratchMegabytes",
    "DomainName=api.example.com": "needs the CertificateArn",
    "CertificateArn=arn:aws:acm:us-east-1:123456789012:certificate/x": "needs its DomainName",
    "WebhookUrl=https://example.com/hook": "needs a WebhookKey",
    "WebhookUrl=http://example.com/hook": "WebhookUrl must match",
    "Concurrency=2 ProvisionedConcurrency=3": "part of Concurrency",
    "FirewallRate=9": "at least 10",
    "UserPoolArn=arn:aws:cognito-idp:us-east-1:123456789012:userpool/us-east-1_x": "only with Authorizer=Cognito",
    "CorsOrigins=https://example.com/path": "without paths",
    "RateLimit=-1": "RateLimit must be at least 1",
    "AlarmEmail=nobody": "AlarmEmail must match",
    "JobsConcurrency=1": "JobsConcurrency must be at least 2",
    "RequestSeconds=901": "RequestSeconds must be at most 900",
}


@pytest.mark.parametrize("parameters", REFUSED)
def test_what_aws_refuses_is_refused_before_building(parameters: str) -> None:
    overrides = dict(text.split("=", 1) for text in parameters.split())
    (problem,) = Template.read(TEMPLATE).problems(overrides, {})
    assert REFUSED[parameters] in problem


def test_every_combination_has_a_case_and_the_defaults_pass() -> None:
    template = Template.read(TEMPLATE)
    values = template.values({}, {})
    assert not any(is_refused(values) for is_refused, _ in COMBINATIONS)
    refused = [
        sum(is_refused(template.values(dict(text.split("=", 1) for text in case.split()), {})) for case in REFUSED)
        for is_refused, _ in COMBINATIONS
    ]
    assert all(refused), refused


def test_live_parameters_count_unless_they_are_replaced() -> None:
    template, live = Template.read(TEMPLATE), {"SnapStart": "PublishedVersions", "Gone": "1"}
    assert list(template.problems({"ProvisionedConcurrency": "1"}, live))
    assert not list(template.problems({"ProvisionedConcurrency": "1", "SnapStart": "None"}, live))
    assert template.values({"Memory": "2048"}, {"Memory": "1024", "Architecture": "arm64"})["Architecture"] == "arm64"
