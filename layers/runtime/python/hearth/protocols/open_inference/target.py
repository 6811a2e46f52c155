"""Which model a path means: `name`, `name@version`, `name@alias`, `name/versions/{v}`, and `name-raw` for its graph."""

from __future__ import annotations

import re
from collections.abc import Mapping

from msgspec import Struct

from hearth.errors import BadRequest, NotFound, OutOfScope
from hearth.models.cache import warm_cache
from hearth.models.registry import Resolved
from hearth.protocols.base import Request

RAW = re.compile(r"(?P<model>.+?)-raw(?:-(?P<role>[a-z0-9_]+))?")


class Target(Struct, frozen=True):
    resolved: Resolved
    shown_name: str
    """As responses name the model: without version, with `-raw`."""
    role: str = ""
    """Of the graph that is asked; empty: the whole task."""


def find_target(request: Request) -> Target:
    """Raises BadRequest, Forbidden, NotFound, StoreError."""
    base, suffix = _name_and_suffix(request.path_params)
    if raw := RAW.fullmatch(base):
        try:
            resolved = warm_cache().resolve(raw["model"] + suffix)
        except (NotFound, OutOfScope):
            pass  # perhaps a model whose own name ends so
        else:
            role = raw["role"] or "main"
            if role not in resolved.manifest.graphs:
                graphs = ", ".join(resolved.manifest.graphs)
                raise NotFound(f"Model {raw['model']} has no graph {role}; it has: {graphs}")
            return Target(resolved, base, role)
    return Target(warm_cache().resolve(base + suffix), base)


def target_name(path_params: Mapping[str, str]) -> str:
    """The name of the model that will most likely be loaded. Raises BadRequest."""
    base, suffix = _name_and_suffix(path_params)
    raw = RAW.fullmatch(base)
    return (raw["model"] if raw else base) + suffix


def _name_and_suffix(path_params: Mapping[str, str]) -> tuple[str, str]:
    """The name alone, and what stands after it with the @. Raises BadRequest where two versions are named."""
    base, at, suffix = path_params["name"].partition("@")
    version = path_params.get("version", "")
    if version and suffix not in ("", version):
        raise BadRequest(f"The path says version {version[:80]} and {suffix[:80]}; say one")
    if version:
        return base, f"@{version}"
    return base, at + suffix
