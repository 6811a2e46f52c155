"""Which model a path means: `name`, `name@version`, `name@alias`, `name/versions/{v}`, and `name-raw` for its graph."""

from __future__ import annotations

import re
from dataclasses import dataclass

from hearth.errors import BadRequest, NotFound, OutOfScope
from hearth.models.cache import manifest_of
from hearth.models.manifest import Graph, Manifest
from hearth.protocols.base import Call

RAW = re.compile(r"(?P<model>.+?)-raw(?:-(?P<role>[a-z0-9_]+))?")


@dataclass(frozen=True)
class Target:
    name: str
    """For the registry: the model with its version or alias, if one is said."""
    shown: str
    """As answers name it: without version, with `-raw`."""
    manifest: Manifest
    """Of the version that `name` means now."""
    role: str = ""
    """Of the bare graph; empty: the whole pipeline."""

    @property
    def graph(self) -> Graph:
        return self.manifest.graphs[self.role]


def target(call: Call) -> Target:
    """Raises BadRequest, Forbidden, NotFound, StoreError."""
    base, _, suffix = call.path["name"].partition("@")
    version = call.path.get("version", "")
    if version and suffix not in ("", version):
        raise BadRequest(f"The path says version {version[:80]} and {suffix[:80]}; say one")
    suffix = f"@{suffix or version}" if suffix or version else "@" * ("@" in call.path["name"])
    raw = RAW.fullmatch(base)
    if raw:
        name = raw["model"] + suffix
        try:
            manifest = manifest_of(name)
        except (NotFound, OutOfScope):
            pass  # perhaps a model whose own name ends so
        else:
            role = raw["role"] or "main"
            if role not in manifest.graphs:
                raise NotFound(f"Model {raw['model']} has no graph {role}; it has: {', '.join(manifest.graphs)}")
            return Target(name, base, manifest, role)
    return Target(base + suffix, base, manifest_of(base + suffix))
