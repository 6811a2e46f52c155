"""The description of a training: what the user gives, and what training resolved, as one YAML file, `recipe.yaml`.

Read again, it repeats the training.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Literal

import msgspec
import yaml
from msgspec import Struct, structs

from hearth.models.manifest import Name, TaskId
from hearth_build.data.datasets import DataError, OwnData
from hearth_build.data.files import digest
from hearth_build.recipe import RecipeError

Precision = Literal["int8", "fp32"]


class Plan(Struct, kw_only=True, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    task: TaskId
    name: Name
    data: str
    """Path of the data."""
    sha256: str = ""
    test: str = ""
    """Path of test data; without it, a part of the data is held out."""
    test_sha256: str = ""
    columns: dict[str, str] = {}
    """Names of columns by role."""
    base: str = ""
    """What training starts from: a preset, a folder, or a checkpoint of the hub with its revision."""
    minutes: float = 15.0
    seed: int = 1
    precision: Precision = "int8"
    licence: str = "not stated"
    settings: dict[str, Any] = {}
    """Chosen by the first training, for the next ones to repeat it: epochs, learning rate, size of the input."""
    model: str = ""
    """The candidate that was chosen; not read."""

    def fingerprint(self) -> str:
        """Identifies all that the trained weights depend on."""
        fields = [self.task, self.sha256, self.test_sha256, sorted(self.columns.items()), self.base, self.seed]
        return hashlib.sha256(repr([*fields, self.minutes]).encode()).hexdigest()

    def sources(self) -> tuple[OwnData, ...]:
        files = ((self.data, self.sha256), (self.test, self.test_sha256))
        return tuple(OwnData(Path(path), checksum) for path, checksum in files if path)


def with_checksums(plan: Plan) -> Plan:
    """The plan with the checksums of its data. Raises DataError if data are missing or not those of a recipe."""
    checksums = {}
    for field, path, recorded in (("sha256", plan.data, plan.sha256), ("test_sha256", plan.test, plan.test_sha256)):
        if not path:
            continue
        if not Path(path).exists():
            raise DataError(f"{path} does not exist. Give the path of a file or a folder.")
        checksums[field] = digest(Path(path))
        if recorded and checksums[field] != recorded:
            raise DataError(
                f"{path} has changed since the recipe was written, so the training cannot be repeated. Restore it, or "
                "train on it without --recipe."
            )
    return structs.replace(plan, **checksums)


def load(path: Path) -> Plan:
    """Read a recipe.yaml. Raises RecipeError."""
    try:
        return msgspec.convert(yaml.safe_load(path.read_text(encoding="utf-8")), Plan)
    except OSError as error:
        raise RecipeError(f"{path} cannot be read: {error.strerror}.") from None
    except (yaml.YAMLError, msgspec.ValidationError) as error:
        raise RecipeError(f"{path} is not a recipe: {error}.") from None


def save(plan: Plan, path: Path) -> None:
    fields = msgspec.to_builtins(plan)
    path.write_text(yaml.safe_dump(fields, sort_keys=False, allow_unicode=True), encoding="utf-8")
