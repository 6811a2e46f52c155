"""The model repository: what there is, and what this execution environment has in memory."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from hearth import strict_json
from hearth.errors import BadRequest, Forbidden
from hearth.models.cache import warm
from hearth.models.registry import Ref
from hearth.protocols.base import Answer, Call
from hearth.protocols.open_inference.schema import Entry, IndexRequest, RepositoryRequest
from hearth.protocols.open_inference.target import target
from hearth.strict_json import told

T = TypeVar("T")
COLD = "not in memory of this execution environment; the next request loads it"


def read(call: Call, kind: type[T]) -> T:
    """The body; an empty one stands for an empty object. Raises BadRequest."""
    return strict_json.convert(strict_json.loads(call.body), kind) if call.body else kind()


def index(call: Call) -> Answer:
    """A version that is in memory is READY. Others are UNAVAILABLE only in Triton's words: they load when asked."""
    wanted = read(call, IndexRequest)
    loaded, registry = warm().loaded(), warm().registry
    entries = [
        Entry(name, version, "READY", "") if Ref(name, version) in loaded else Entry(name, version, "UNAVAILABLE", COLD)
        for name in registry.models()
        for version in registry.versions(name)
    ]
    return Answer(msgspec.json.encode([entry for entry in entries if entry.state == "READY" or not wanted.ready]))


def load(call: Call) -> Answer:
    """Load the version that the name means now. Raises Forbidden for what would replace it."""
    parameters = read(call, RepositoryRequest).parameters
    for name in parameters:
        if name == "config" or name.startswith("file:"):
            raise Forbidden("Models come from the store as they were published; leave `config` and `file:…` out")
        raise BadRequest(f"The parameter {told(name)} is not supported here")
    wanted = target(call)
    call.task(wanted.name)  # the function that has the model's task loads it, and no other
    warm().preload(wanted.name)
    return Answer(b"{}")


def unload(call: Call) -> Answer:
    """Free its memory here. Requests that it is answering end first; the next one loads it again."""
    unknown = sorted(read(call, RepositoryRequest).parameters.keys() - {"unload_dependents"})
    if unknown:
        raise BadRequest(f"The parameter {told(unknown[0])} is not supported here")
    manifest = target(call).manifest
    warm().drop(Ref(manifest.model, manifest.version))
    return Answer(b"{}")
