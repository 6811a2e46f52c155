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
from hearth_build.data.files import DataFile, digest
from hearth_build.data.split import Split, content_key
from hearth_build.recipe import RecipeError

Precision = Literal["int8", "fp32"]
Size = Literal["", "small"]


class Plan(Struct, kw_only=True, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    task: TaskId
    name: Name
    data: str
    """Path of the data."""
    sha256: str = ""
    test: str = ""
    """Path of test data; without it, a part of the data is held out."""
    test_sha256: str = ""
    examples_sha256: str = ""
    """Of the examples, for files that refer to others, such as a table of paths of images."""
    columns: dict[str, str] = {}
    """Names of columns by role."""
    base: str = ""
    """What training starts from: a preset, a folder, or a checkpoint of the hub with its revision."""
    minutes: float = 15.0
    seed: int = 1
    precision: Precision = "int8"
    size: Size = ""
    """`small`: half of the layers learn from the fine-tuned network."""
    licence: str = "not stated"
    settings: dict[str, Any] = {}
    """Chosen by the first training, for the next ones to repeat it: epochs, learning rate, size of the input."""
    model: str = ""
    """The candidate that was chosen; not read."""

    def fingerprint(self) -> str:
        """Identifies all that the trained weights depend on."""
        fields = [
            self.task,
            self.sha256,
            self.test_sha256,
            self.examples_sha256,
            sorted(self.columns.items()),
            self.base,
            self.seed,
            self.size,
        ]
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


def with_examples(plan: Plan, parts: Split) -> Plan:
    """The plan with the checksum of its examples. Raises DataError if they are not those of a recipe."""
    total = hashlib.sha256()
    for part in (parts.train, parts.validation, parts.test):
        for example in part:
            key = content_key(example) if isinstance(example.inputs, DataFile | bytes) else repr(example.inputs)
            total.update(f"{key}\n{example.expected!r}\n".encode(errors="surrogatepass"))
        total.update(b"\n")
    checksum = total.hexdigest()
    if plan.examples_sha256 not in ("", checksum):
        raise DataError(
            f"The examples of {plan.data} are not those of the recipe: a file that it refers to has changed, or this "
            "version of Hearth reads it differently. Restore it, or train on it without --recipe."
        )
    return structs.replace(plan, examples_sha256=checksum)


def load(path: Path) -> Plan:
    """Read a recipe.yaml. Raises RecipeError."""
    try:
        return msgspec.convert(yaml.safe_load(path.read_bytes()), Plan)
    except OSError as error:
        raise RecipeError(f"{path} cannot be read: {error.strerror}.") from None
    except (yaml.YAMLError, msgspec.ValidationError) as error:
        raise RecipeError(f"{path} is not a recipe: {error}.") from None


def save(plan: Plan, path: Path) -> None:
    fields = msgspec.to_builtins(plan)
    path.write_text(yaml.safe_dump(fields, sort_keys=False, allow_unicode=True), encoding="utf-8")
