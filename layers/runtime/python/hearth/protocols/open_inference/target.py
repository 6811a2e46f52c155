"""Resolves paths to models: `name`, `name@version`, `name@alias`, `name/versions/{v}`, and `name-raw` for its graph."""

from __future__ import annotations

import re
from collections.abc import Mapping

from msgspec import Struct

from hearth.errors import BadRequest, NotFound, OutOfScope
from hearth.models.cache import warm_cache
from hearth.models.registry import Resolved
from hearth.protocols.base import Request

RAW = re.compile(r"(?P<model>.+)-raw(?:-(?P<role>[a-z0-9_]+))?")


class Target(Struct, frozen=True):
    resolved: Resolved
    shown_name: str
    """The model's name in responses: without version, with `-raw`."""
    role: str = ""
    """Role of the requested graph; empty: the whole task."""


def find_target(request: Request) -> Target:
    """Resolve the target of a request. Raises BadRequest, Forbidden, NotFound, StoreError."""
    base, suffix = _name_and_suffix(request.path_params)
    if raw := RAW.fullmatch(base):
        try:
            resolved = warm_cache().resolve(raw["model"] + suffix)
        except (NotFound, OutOfScope):
            pass  # the model's own name may end with -raw
        else:
            role = raw["role"] or "main"
            if role not in resolved.manifest.graphs:
                graphs = ", ".join(resolved.manifest.graphs)
                raise NotFound(f"Model {raw['model']} has no graph {role}; its graphs are: {graphs}")
            return Target(resolved, base, role)
    resolved = warm_cache().resolve(base + suffix)
    # A graph without a task is called by its tensors under its own name.
    return Target(resolved, base, "main" if resolved.manifest.preprocessing is None else "")


def target_name(path_params: Mapping[str, str]) -> str:
    """The name of the model that will most likely be loaded. Raises BadRequest."""
    base, suffix = _name_and_suffix(path_params)
    raw = RAW.fullmatch(base)
    return (raw["model"] if raw else base) + suffix


def _name_and_suffix(path_params: Mapping[str, str]) -> tuple[str, str]:
    """The name, and the suffix including the @. Raises BadRequest for two different versions."""
    base, separator, suffix = path_params["name"].partition("@")
    version = path_params.get("version", "")
    if version and suffix not in ("", version):
        raise BadRequest(f"The path has both version {version[:80]} and {suffix[:80]}; send one")
    if version:
        return base, f"@{version}"
    return base, separator + suffix
