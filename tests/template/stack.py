"""template.yaml as data: raw, and as the CloudFormation that SAM generates from it."""

from __future__ import annotations

import atexit
import copy
import functools
import json
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.support import ROOT
from tests.tools import tool

TEMPLATE = ROOT / "template.yaml"
Template = dict[str, Any]
Resource = dict[str, Any]


class _Loader(yaml.SafeLoader):
    """Reads `!Ref`, `!GetAtt a.b` and the other short forms as their long forms."""


def _intrinsic(loader: _Loader, suffix: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    if suffix == "GetAtt":
        value = value.split(".", 1)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _intrinsic)


def read(path: Path = TEMPLATE) -> Template:
    """The raw template."""
    return parse(path.read_text())


def parse(text: str) -> Template:
    """A raw template. YAML anchors are copied, so that each place can be edited separately."""
    raw = yaml.load(text, _Loader)
    return json.loads(json.dumps(raw))


def translate(raw: Template, bucket: str = "code") -> Template:
    """CloudFormation for `raw`, with code and layers at `s3://<bucket>/<logical id>.zip`."""
    raw = copy.deepcopy(raw)
    for name, resource in raw["Resources"].items():
        for field in ("CodeUri", "ContentUri"):
            if field in resource.get("Properties", {}):
                resource["Properties"][field] = {"Bucket": bucket, "Key": f"{name}.zip"}
    with _LOCK:
        translator = _translator()
        assert translator.stdin
        assert translator.stdout
        translator.stdin.write(json.dumps(raw) + "\n")
        translator.stdin.flush()
        line = translator.stdout.readline()
    if not line:
        raise RuntimeError(f"{translator.args} ended with {translator.wait()}")
    translated: Template = json.loads(line)
    if "error" in translated:
        raise ValueError(f"SAM cannot translate the template: {translated['error']}")
    return translated


_LOCK = threading.Lock()


@functools.cache
def _translator() -> subprocess.Popen[str]:
    """One translator for this process, because importing SAM takes longer than a translation. It ends with its
    input."""
    command = [tool("lint") / "bin/python", Path(__file__).with_name("translate.py")]
    translator = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"AWS_DEFAULT_REGION": "us-east-1"},
    )
    atexit.register(_end, translator)
    return translator


def _end(translator: subprocess.Popen[str]) -> None:
    assert translator.stdin
    assert translator.stdout
    translator.stdin.close()
    translator.stdout.close()
    translator.wait(10)


def of_type(template: Template, kind: str) -> Iterator[tuple[str, Resource]]:
    """Logical id and properties of every resource of a type, e.g. `SQS::Queue`."""
    for name, resource in template["Resources"].items():
        if resource["Type"] == f"AWS::{kind}":
            yield name, resource.get("Properties", {})


def target(value: Any) -> str:
    """The logical id that `Ref`, `GetAtt` or `Sub` refers to; plain text is returned unchanged."""
    if isinstance(value, dict):
        if "Ref" in value:
            return str(value["Ref"])
        if "Fn::GetAtt" in value:
            return str(value["Fn::GetAtt"][0])
        return str(value.get("Fn::Sub", value))
    return str(value)


def by_default(value: Any) -> Any:
    """The value with default parameters, for which the condition of an `If` is false."""
    return value["Fn::If"][2] if isinstance(value, dict) and "Fn::If" in value else value


def function_of(template: Template, value: Any) -> str:
    """The logical id of the function that `value` refers to, directly or through its alias."""
    name = target(value)
    resource = template["Resources"].get(name, {})
    return target(resource["Properties"]["FunctionName"]) if resource.get("Type") == "AWS::Lambda::Alias" else name


def as_number(template: Template, value: Any) -> int:
    """A literal number, or the default of the referenced parameter."""
    return int(template["Parameters"][value["Ref"]]["Default"] if isinstance(value, dict) else value)


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
