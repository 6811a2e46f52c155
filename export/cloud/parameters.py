"""The parameters of template.yaml: what CloudFormation and the services would refuse, said before anything is built."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hearth.errors import BadRequest

ORIGIN = re.compile(r"\*|[a-z][a-z0-9+.-]*://[^/\s]+")
MEGABYTES_FOR_INPUTS = 64
"""Ephemeral storage that the cache leaves free."""
LEAST_FIREWALL_RATE = 10
"""AWS WAF refuses smaller limits."""


class DeployError(BadRequest):
    """Everything that prevents the deployment, one sentence per line."""


@dataclass(frozen=True)
class Parameter:
    name: str
    type: str
    default: str | None
    allowed_values: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    pattern: str = ""

    def validate(self, value: str) -> str:
        """Return a sentence about what is wrong with a value, or "" for a valid one."""
        if self.allowed_values and value not in self.allowed_values:
            return f"{self.name} must be one of {', '.join(self.allowed_values)}, not {value!r}."
        if self.pattern and not re.fullmatch(self.pattern, value):
            return f"{self.name} must match {self.pattern}, which {value!r} does not."
        if self.type != "Number":
            return ""
        try:
            number = float(value)
        except ValueError:
            return f"{self.name} must be a number, not {value!r}."
        if self.minimum is not None and number < self.minimum:
            return f"{self.name} must be at least {self.minimum:g}, not {value}."
        if self.maximum is not None and number > self.maximum:
            return f"{self.name} must be at most {self.maximum:g}, not {value}."
        return ""


@dataclass(frozen=True)
class Template:
    path: Path
    runtime: str
    """Such as `python3.13`: the layers must be built with the same interpreter."""
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    alarm_metrics: int = 0
    """Metrics that the alarms watch; each is paid for."""

    @classmethod
    def read(cls, path: Path) -> Template:
        """Raises DeployError if the file does not exist."""
        import yaml

        class Loader(yaml.SafeLoader):
            """Ignores `!Ref` and other intrinsic functions, which parameters do not use."""

        Loader.add_multi_constructor("!", lambda loader, suffix, node: None)
        if not path.is_file():
            raise DeployError(f"{path} does not exist. Run `hearth deploy` in a checkout of Hearth's repository.")
        raw = yaml.load(path.read_text(), Loader)  # noqa: S506 -- it is a SafeLoader
        parameters = {name: _parameter(name, row) for name, row in raw["Parameters"].items()}
        alarms = [row for row in raw["Resources"].values() if row["Type"] == "AWS::CloudWatch::Alarm"]
        metrics = [row["Properties"].get("Metrics", [{"MetricStat": {}}]) for row in alarms]
        alarm_metrics = sum("MetricStat" in metric for alarm in metrics for metric in alarm)
        return cls(path, raw["Globals"]["Function"]["Runtime"], parameters, alarm_metrics)

    def problems(self, overrides: Mapping[str, str], live: Mapping[str, str]) -> Iterator[str]:
        """Yield a sentence for everything that is wrong with the parameters that the user sets, `overrides`, together
        with the `live` ones of the stack, which stay as they are."""
        valid = True
        for name, value in overrides.items():
            if name not in self.parameters:
                valid = False
                yield f"There is no parameter {name}. The parameters are {', '.join(self.parameters)}."
            elif sentence := self.parameters[name].validate(value):
                valid = False
                yield sentence
        if valid:
            values = self.values(overrides, live)
            yield from (sentence for is_refused, sentence in COMBINATIONS if is_refused(values))

    def values(self, overrides: Mapping[str, str], live: Mapping[str, str]) -> dict[str, str]:
        """All parameters as the stack will have them."""
        defaults = {name: parameter.default or "" for name, parameter in self.parameters.items()}
        return defaults | {name: value for name, value in live.items() if name in defaults} | dict(overrides)


def _parameter(name: str, row: dict[str, Any]) -> Parameter:
    return Parameter(
        name,
        row["Type"],
        None if "Default" not in row else str(row["Default"]),
        tuple(str(value) for value in row.get("AllowedValues", ())),
        row.get("MinValue"),
        row.get("MaxValue"),
        row.get("AllowedPattern", ""),
    )


def _has_snapshots(values: Mapping[str, str]) -> bool:
    return values["SnapStart"] == "PublishedVersions"


COMBINATIONS: tuple[tuple[Callable[[Mapping[str, str]], bool], str], ...] = (
    (
        lambda v: _has_snapshots(v) and int(v["ProvisionedConcurrency"]) > 0,
        "Lambda supports SnapStart or ProvisionedConcurrency, not both.",
    ),
    (
        lambda v: _has_snapshots(v) and int(v["ScratchMegabytes"]) != 512,
        "Lambda supports SnapStart only with ScratchMegabytes=512.",
    ),
    (
        lambda v: int(v["CacheMegabytes"]) > int(v["ScratchMegabytes"]) - MEGABYTES_FOR_INPUTS,
        f"CacheMegabytes must leave {MEGABYTES_FOR_INPUTS} of ScratchMegabytes for inputs; raise ScratchMegabytes.",
    ),
    (
        lambda v: bool(v["DomainName"]) and not v["CertificateArn"],
        "A DomainName needs the CertificateArn of a certificate in this region.",
    ),
    (lambda v: bool(v["CertificateArn"]) and not v["DomainName"], "A CertificateArn needs its DomainName."),
    (lambda v: bool(v["WebhookUrl"]) and not v["WebhookKey"], "A WebhookUrl needs a WebhookKey."),
    (
        lambda v: 0 < int(v["Concurrency"]) < int(v["ProvisionedConcurrency"]),
        "ProvisionedConcurrency is part of Concurrency, so it cannot be larger; Concurrency=0 reserves none.",
    ),
    (
        lambda v: 0 < int(v["FirewallRate"]) < LEAST_FIREWALL_RATE,
        f"FirewallRate must be 0 or at least {LEAST_FIREWALL_RATE}, as AWS WAF requires.",
    ),
    (
        lambda v: bool(v["UserPoolArn"]) and v["Authorizer"] != "Cognito",
        "A UserPoolArn is used only with Authorizer=Cognito.",
    ),
    (
        lambda v: not all(ORIGIN.fullmatch(origin) for origin in v["CorsOrigins"].split(",") if origin),
        "CorsOrigins must list origins such as https://example.com, without paths, or *.",
    ),
)
"""Whether AWS, or the functions when they start, would refuse a combination of parameters; and what to say about it."""
