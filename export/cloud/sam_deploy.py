"""`sam build` and `sam deploy` of our template, its parameters and this machine checked first; then models."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hearth.errors import BadRequest
from hearth_build.cloud.stack import AwsError

TEMPLATE = Path(__file__).resolve().parents[2] / "template.yaml"
BUILT_FOR = {"Architecture": "HEARTH_ARCHITECTURE", "Provider": "HEARTH_PROVIDER"}
"""Parameters that `sam build` must know too, by the variables that layers/Makefile takes them from."""
STACK_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,39}")
"""CloudFormation allows more; names of queues and of the machine begin with it."""
REGION = re.compile(r"[a-z]{2}(-[a-z]+){1,3}-\d")


class DeployError(BadRequest):
    """What stands in the way, all of it: a sentence a line."""


@dataclass(frozen=True)
class Parameter:
    name: str
    kind: str
    default: str | None
    values: tuple[str, ...] = ()
    least: float | None = None
    most: float | None = None
    pattern: str = ""

    def wrong(self, value: str) -> str:
        """What is wrong with a value, in a sentence; empty for a good one."""
        if self.values and value not in self.values:
            return f"{self.name} is one of {', '.join(self.values)}, not {value!r}."
        if self.pattern and not re.fullmatch(self.pattern, value):
            return f"{self.name} must match {self.pattern}, which {value!r} does not."
        if self.kind != "Number":
            return ""
        try:
            number = float(value)
        except ValueError:
            return f"{self.name} is a number, not {value!r}."
        if self.least is not None and number < self.least:
            return f"{self.name} is at least {self.least:g}, not {value}."
        if self.most is not None and number > self.most:
            return f"{self.name} is at most {self.most:g}, not {value}."
        return ""


@dataclass(frozen=True)
class Template:
    path: Path
    runtime: str
    """As `python3.13`: the interpreter that builds the layers must be of it."""
    parameters: Mapping[str, Parameter] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Template:
        """Raises DeployError where there is none."""
        import yaml

        class Loader(yaml.SafeLoader):
            """Passes over `!Ref` and its like: parameters have none."""

        Loader.add_multi_constructor("!", lambda loader, suffix, node: None)
        if not path.is_file():
            raise DeployError(f"{path} is not there: `hearth deploy` is run from a checkout of Hearth's repository.")
        raw = yaml.load(path.read_text(), Loader)  # noqa: S506 -- it is a SafeLoader
        parameters = {name: _parameter(name, row) for name, row in raw["Parameters"].items()}
        return cls(path, raw["Globals"]["Function"]["Runtime"], parameters)


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


@dataclass(frozen=True)
class Plan:
    template: Template
    stack: str
    region: str
    given: Mapping[str, str]
    """Parameters that differ from their defaults."""

    def wrong(self) -> Iterator[str]:
        """A sentence for each thing that stands in the way."""
        yield from self._wrong_values()
        if shutil.which("sam") is None:
            yield "The SAM CLI is not on PATH: pip install aws-sam-cli, in an environment of its own."
        if not runs(self.template.runtime):
            yield f"{self.template.runtime} is not on PATH, or does not run: `sam build` makes the layers with it."
        yield from self._wrong_account()

    def _wrong_values(self) -> Iterator[str]:
        known = self.template.parameters
        if not STACK_NAME.fullmatch(self.stack):
            yield f"A stack's name is a letter, then letters, digits and dashes, 40 in all: not {self.stack!r}."
        for name, value in self.given.items():
            if name not in known:
                yield f"There is no parameter {name}; there are {', '.join(known)}."
            elif sentence := known[name].wrong(value):
                yield sentence
        for name, parameter in known.items():
            if parameter.default is None and name not in self.given:
                yield f"{name} must be given."
        if self.given.get("Provider") == "openvino" and self.given.get("Architecture") == "arm64":
            yield "Provider=openvino is for Architecture=x86_64: ONNX Runtime's OpenVINO has no build for arm64."

    def _wrong_account(self) -> Iterator[str]:
        import boto3
        from botocore.exceptions import BotoCoreError, ClientError

        session = boto3.Session(region_name=self.region or None)
        if not session.region_name:
            yield "No region is chosen: --region, or AWS_REGION."
            return
        if not REGION.fullmatch(session.region_name):
            yield f"{session.region_name!r} is no region's name."
            return
        try:
            session.client("sts").get_caller_identity()
        except (BotoCoreError, ClientError) as error:
            yield f"AWS does not know who asks: {error}."

    def run(self, build: Path) -> None:
        """Build, and deploy. Raises DeployError with what stands in the way, AwsError where SAM failed."""
        found = list(self.wrong())
        if found:
            raise DeployError("\n".join(found))
        environment = dict(os.environ)
        if self.region:
            environment |= {"AWS_REGION": self.region, "AWS_DEFAULT_REGION": self.region}
        for name, variable in BUILT_FOR.items():
            if name in self.given:
                environment[variable] = self.given[name]
        for command in self.commands(build):
            ended = subprocess.run(command, cwd=self.template.path.parent, env=environment)
            if ended.returncode:
                raise AwsError(f"`{' '.join(command[:2])}` ended with status {ended.returncode}; its words are above")

    def commands(self, build: Path) -> list[list[str]]:
        overrides = [f"{name}={json.dumps(value)}" for name, value in self.given.items()]
        deploy = ["sam", "deploy", "--template-file", str(build / "template.yaml"), "--stack-name", self.stack]
        deploy += ["--resolve-s3", "--capabilities", "CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"]
        deploy += ["--no-confirm-changeset", "--no-fail-on-empty-changeset"]
        deploy += ["--region", self.region] * bool(self.region)
        deploy += ["--parameter-overrides", *overrides] * bool(overrides)
        return [
            ["sam", "build", "--template-file", str(self.template.path), "--build-dir", str(build)],
            deploy,
        ]


def runs(program: str) -> bool:
    """Whether a Python is on PATH and runs: pyenv puts there some that only say which version is not chosen."""
    return (
        shutil.which(program) is not None and subprocess.run([program, "-c", ""], capture_output=True).returncode == 0
    )


def artifacts(models: str, zoo: Path) -> list[Path]:
    """The folders of a list: `zoo` for the models that come with Hearth, else a file with a folder a line.

    Raises DeployError for what is no artifact.
    """
    if models == "zoo":
        folders = [path.parent for path in sorted(zoo.glob("*/*/manifest.json"))]
    else:
        lines = (line.partition("#")[0].strip() for line in Path(models).read_text().splitlines())
        folders = [(Path(models).parent / line).resolve() for line in lines if line]
    strange = [folder for folder in folders if not (folder / "manifest.json").is_file()]
    if strange:
        raise DeployError("\n".join(f"{folder} has no manifest.json, so it is no artifact." for folder in strange))
    return folders
