"""Check the template's parameters and this machine, then run `sam build` and `sam deploy`."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hearth_build.cloud.account import Account, read_account
from hearth_build.cloud.cost_model import PRICES, read_prices
from hearth_build.cloud.dedicated import FILE, Dedicated, expand
from hearth_build.cloud.idle_cost import idle_items
from hearth_build.cloud.parameters import DeployError, Template
from hearth_build.cloud.stack import AwsError

TEMPLATE = Path(__file__).resolve().parents[2] / "template.yaml"
ARCHITECTURE = "HEARTH_ARCHITECTURE"
"""The environment variable from which layers/Makefile reads the parameter Architecture."""
STACK_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,39}")
"""Shorter than CloudFormation allows, because the names of queues and of the state machine begin with it."""
REGION = re.compile(r"[a-z]{2}(-[a-z]+){1,3}-\d")


@dataclass(frozen=True)
class Plan:
    template: Template
    stack: str
    region: str
    overrides: Mapping[str, str]
    """Parameters that the user sets, by name. The others stay as the stack has them."""
    dedicated: Sequence[Dedicated] = ()
    """Functions of single models."""
    most_dollars: float = math.inf
    """Price a month of the idle stack above which nothing is deployed."""

    def run(self, build: Path, *, dry_run: bool = False) -> None:
        """Build and deploy, or only print the changes. Raises DeployError with all problems, AwsError if SAM fails."""
        problems = [*self._machine_problems()]
        account = self._account(problems)
        live = account.live_parameters if account else {}
        problems += self.template.problems(self.overrides, live)
        overrides = dict(self.overrides)
        if account and not problems:
            problems += account.problems(self.template.values(overrides, live))
            if not live and account.has_logging_role:
                overrides.setdefault("ConfigureApiLogging", "false")
        if problems:
            raise DeployError("\n".join(problems))
        environment = dict(os.environ)
        if self.region:
            environment |= {"AWS_REGION": self.region, "AWS_DEFAULT_REGION": self.region}
        self._check_price(self.template.values(overrides, live))
        environment[ARCHITECTURE] = self.template.values(overrides, live)["Architecture"]
        build.mkdir(parents=True, exist_ok=True)
        expanded = build.with_name("template.yaml")
        expanded.write_text(expand(self.template.path.read_text(), self.dedicated))
        for command in self.commands(expanded, build, overrides, dry_run=dry_run):
            process = subprocess.run(command, cwd=self.template.path.parent, env=environment)
            if process.returncode:
                raise AwsError(
                    f"`{' '.join(command[:2])}` ended with status {process.returncode}; see its output above"
                )

    def _check_price(self, values: Mapping[str, str]) -> None:
        """Print what the idle stack will cost. Raises DeployError if it is too much."""
        alarms = self.template.alarm_metrics + len(self.dedicated)
        items = idle_items(values, alarms, read_prices(PRICES), self.dedicated)
        dollars = sum(item.dollars for item in items)
        listed = ", ".join(f"{item.name} ${item.dollars:.2f}" for item in items)
        print(f"Idle, the stack costs ${dollars:.2f} a month: {listed}")
        if dollars > self.most_dollars:
            raise DeployError(f"That is more than the ${self.most_dollars:.2f} that {FILE} allows.")

    def _machine_problems(self) -> Iterator[str]:
        if not STACK_NAME.fullmatch(self.stack):
            yield (
                "A stack's name must begin with a letter and have at most 40 letters, digits and dashes, "
                f"unlike {self.stack!r}."
            )
        if shutil.which("sam") is None:
            yield "The SAM CLI is not on PATH: pip install aws-sam-cli, in a separate environment."
        if not can_run(self.template.runtime):
            yield f"{self.template.runtime} is not on PATH or does not run: `sam build` builds the layers with it."

    def _account(self, problems: list[str]) -> Account | None:
        """The account, or None after a problem was added."""
        import boto3
        from botocore.exceptions import BotoCoreError, ClientError

        session = boto3.Session(region_name=self.region or None)
        if not session.region_name:
            problems.append("No region is set. Use --region or AWS_REGION.")
            return None
        if not REGION.fullmatch(session.region_name):
            problems.append(f"{session.region_name!r} is not the name of a region.")
            return None
        try:
            session.client("sts").get_caller_identity()
            return read_account(session, self.stack)
        except (BotoCoreError, ClientError) as error:
            problems.append(f"AWS does not accept the credentials, or they allow too little: {error}.")
            return None

    def commands(
        self, template: Path, build: Path, overrides: Mapping[str, str], *, dry_run: bool = False
    ) -> list[list[str]]:
        root = self.template.path.parent
        deploy = ["sam", "deploy", "--template-file", str(build / "template.yaml"), "--stack-name", self.stack]
        deploy += ["--resolve-s3", "--capabilities", "CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"]
        deploy += ["--no-confirm-changeset", "--no-fail-on-empty-changeset"]
        if dry_run:
            deploy += ["--no-execute-changeset"]
        if self.region:
            deploy += ["--region", self.region]
        if overrides:
            pairs = [f"{name}={json.dumps(value)}" for name, value in overrides.items()]
            deploy += ["--parameter-overrides", *pairs]
        return [
            ["sam", "build", "--template-file", str(template), "--base-dir", str(root), "--build-dir", str(build)],
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
