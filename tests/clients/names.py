"""Schemathesis hooks: half of the cases name an existing model, so that they test more than the lookup of the name."""

from __future__ import annotations

import os
import random
from typing import Any

import schemathesis

NAMES = os.environ["HEARTH_TEST_MODELS"].split(",")
TASKS = ("text-classification", "text-generation", "image-classification", "feature-extraction", "fill-mask")


GENERATES = "talks"


def _choose(key: str, choices: tuple[str, ...] | list[str]) -> str:
    return random.Random(key).choice(choices)


@schemathesis.hook
def map_path_parameters(context: Any, path_parameters: dict[str, Any] | None) -> dict[str, Any] | None:
    if path_parameters and "name" in path_parameters and len(str(path_parameters["name"])) % 2:
        generates = "generate" in context.operation.path or "chat" in context.operation.path
        path_parameters["name"] = GENERATES if generates else _choose(str(path_parameters["name"]), NAMES)
        if "task" in path_parameters:
            path_parameters["task"] = _choose(str(path_parameters["task"]), TASKS)
        if "version" in path_parameters:
            path_parameters["version"] = "1"
    return path_parameters


@schemathesis.hook
def map_body(context: Any, body: Any) -> Any:
    if isinstance(body, dict) and isinstance(body.get("model"), str) and len(body["model"]) % 2:
        generates = "completions" in context.operation.path
        body["model"] = GENERATES if generates else _choose(body["model"], NAMES)
    return body
