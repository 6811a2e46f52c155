"""GET /v1/models."""

from __future__ import annotations

import msgspec

from hearth.errors import BadRequest, NotFound
from hearth.models.cache import manifest_of, warm
from hearth.protocols.base import Answer, Call


class Model(msgspec.Struct, frozen=True):
    id: str
    object: str
    created: int
    """Not recorded: 0."""
    owned_by: str
    task: str
    version: str
    description: str


class Models(msgspec.Struct, frozen=True):
    object: str
    data: list[Model]


def describe(name: str) -> Model:
    manifest = manifest_of(name)
    return Model(name, "model", 0, "hearth", manifest.task, manifest.version, manifest.description)


def models(call: Call) -> Answer:
    return Answer(msgspec.json.encode(Models("list", [describe(name) for name in warm().registry.models()])))


def model(call: Call) -> Answer:
    try:
        return Answer(msgspec.json.encode(describe(call.path["name"])))
    except (NotFound, BadRequest) as failure:
        failure.param = "model"
        raise
