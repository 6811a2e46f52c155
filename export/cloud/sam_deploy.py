"""Check the template's parameters and this machine, then run `sam build` and `sam deploy`."""

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
ARCHITECTURE = "HEARTH_ARCHITECTURE"
"""The environment variable from which layers/Makefile reads the parameter Architecture."""
STACK_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,39}")
"""Shorter than CloudFormation allows, because the names of queues and of the state machine begin with it."""
REGION = re.compile(r"[a-z]{2}(-[a-z]+){1,3}-\d")


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
    overrides: Mapping[str, str]
    """Parameters that the user sets, by name."""

    def problems(self) -> Iterator[str]:
        """Yield a sentence for everything that prevents the deployment."""
        yield from self._parameter_problems()
        if shutil.which("sam") is None:
            yield "The SAM CLI is not on PATH: pip install aws-sam-cli, in a separate environment."
        if not can_run(self.template.runtime):
            yield f"{self.template.runtime} is not on PATH or does not run: `sam build` builds the layers with it."
        yield from self._account_problems()

    def _parameter_problems(self) -> Iterator[str]:
        parameters = self.template.parameters
        if not STACK_NAME.fullmatch(self.stack):
            yield (
                "A stack's name must begin with a letter and have at most 40 letters, digits and dashes, "
                f"unlike {self.stack!r}."
            )
        for name, value in self.overrides.items():
            if name not in parameters:
                yield f"There is no parameter {name}. The parameters are {', '.join(parameters)}."
            elif sentence := parameters[name].validate(value):
                yield sentence
        for name, parameter in parameters.items():
            if parameter.default is None and name not in self.overrides:
                yield f"{name} is required."

    def _account_problems(self) -> Iterator[str]:
        import boto3
        from botocore.exceptions import BotoCoreError, ClientError

        session = boto3.Session(region_name=self.region or None)
        if not session.region_name:
            yield "No region is set. Use --region or AWS_REGION."
            return
        if not REGION.fullmatch(session.region_name):
            yield f"{session.region_name!r} is not the name of a region."
            return
        try:
            session.client("sts").get_caller_identity()
        except (BotoCoreError, ClientError) as error:
            yield f"AWS does not accept the credentials: {error}."

    def run(self, build: Path) -> None:
        """Build and deploy. Raises DeployError with all problems, or AwsError if SAM fails."""
        problems = list(self.problems())
        if problems:
            raise DeployError("\n".join(problems))
        environment = dict(os.environ)
        if self.region:
            environment |= {"AWS_REGION": self.region, "AWS_DEFAULT_REGION": self.region}
        if "Architecture" in self.overrides:
            environment[ARCHITECTURE] = self.overrides["Architecture"]
        for command in self.commands(build):
            process = subprocess.run(command, cwd=self.template.path.parent, env=environment)
            if process.returncode:
                raise AwsError(
                    f"`{' '.join(command[:2])}` ended with status {process.returncode}; see its output above"
                )

    def commands(self, build: Path) -> list[list[str]]:
        overrides = [f"{name}={json.dumps(value)}" for name, value in self.overrides.items()]
        deploy = ["sam", "deploy", "--template-file", str(build / "template.yaml"), "--stack-name", self.stack]
        deploy += ["--resolve-s3", "--capabilities", "CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"]
        deploy += ["--no-confirm-changeset", "--no-fail-on-empty-changeset"]
        if self.region:
            deploy += ["--region", self.region]
        if overrides:
            deploy += ["--parameter-overrides", *overrides]
        return [
            ["sam", "build", "--template-file", str(self.template.path), "--build-dir", str(build)],
            deploy,
        ]


def can_run(python: str) -> bool:
    """Whether a Python interpreter is on PATH and starts: pyenv's shims exist for versions that are not selected."""
    return shutil.which(python) is not None and subprocess.run([python, "-c", ""], capture_output=True).returncode == 0


def artifact_folders(models: str, zoo: Path) -> list[Path]:
    """The folders to publish: of the models in `zoo` if `models` is "zoo", else those listed in the file `models`.

    Raises DeployError for a folder that is not an artifact.
    """
    if models == "zoo":
        folders = [path.parent for path in sorted(zoo.glob("*/*/manifest.json"))]
    else:
        lines = (line.partition("#")[0].strip() for line in Path(models).read_text().splitlines())
        folders = [(Path(models).parent / line).resolve() for line in lines if line]
    invalid = [folder for folder in folders if not (folder / "manifest.json").is_file()]
    if invalid:
        sentences = [f"{folder} has no manifest.json, so it is not an artifact." for folder in invalid]
        raise DeployError("\n".join(sentences))
    return folders
