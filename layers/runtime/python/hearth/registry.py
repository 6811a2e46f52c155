"""From the name that a caller says to one version of a model: `name`, `name@version`, `name@alias`."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from hearth.errors import BadRequest, Forbidden, ManifestError, NotFound, StoreError
from hearth.manifest import Manifest, parse
from hearth.store import Store

DEFAULT_ALIAS = "prod"
_NAME = re.compile(r"(?P<model>[a-z0-9][a-z0-9._-]{0,62})(@(?P<suffix>[A-Za-z0-9][A-Za-z0-9._-]{0,62}))?")


class Alias(msgspec.Struct, frozen=True):
    version: str


@dataclass(frozen=True)
class Ref:
    """One artifact."""

    model: str
    version: str

    def __str__(self) -> str:
        return f"{self.model}@{self.version}"


class Registry:
    """`allowed` lists `name` or `name@version` (which then is what the bare name means); empty: all of the store."""

    def __init__(self, store: Store, allowed: Sequence[str] = (), alias_seconds: float = 60) -> None:
        self.store = store
        self._pins = {name.partition("@")[0]: name.partition("@")[2] for name in allowed}
        self._alias_seconds = alias_seconds
        self._aliases: dict[str, tuple[float, dict[str, Alias]]] = {}
        self._manifests: dict[Ref, Manifest] = {}
        self._lock = threading.Lock()

    def resolve(self, name: str) -> Ref:
        """The artifact that `name` means now. Raises BadRequest, Forbidden, NotFound, StoreError."""
        match = _NAME.fullmatch(name)
        if match is None:
            raise BadRequest(f"A model is asked for as name, name@version or name@alias, not {name[:80]!r}")
        model, suffix = match["model"], match["suffix"]
        if self._pins and model not in self._pins:
            raise NotFound(f"There is no model {model} here; GET /models lists what there is")
        pin = self._pins.get(model)
        if pin:
            if suffix not in (None, pin):
                raise Forbidden(f"Only version {pin} of {model} may be asked for here")
            return Ref(model, pin)
        if suffix and suffix.isdecimal():
            return Ref(model, suffix)
        alias = suffix or DEFAULT_ALIAS
        found = self.aliases(model).get(alias)
        if found is None:
            raise NotFound(f"Model {model} has no alias {alias}; ask for a version, or set it with `hearth alias`")
        return Ref(model, found.version)

    def aliases(self, model: str) -> dict[str, Alias]:
        """A model's aliases, at most `alias_seconds` old; older ones while the store does not answer."""
        known = self._aliases.get(model)
        now = time.monotonic()
        if known and now - known[0] < self._alias_seconds:
            return known[1]
        try:
            raw = self.store.get(f"{model}/aliases.json")
            aliases = msgspec.json.decode(raw, type=dict[str, Alias])
        except NotFound:
            raise NotFound(f"There is no model {model} here; GET /models lists what there is") from None
        except (StoreError, msgspec.DecodeError) as error:
            if known:
                return known[1]
            raise StoreError(f"The aliases of {model} cannot be read: {error}") from error
        self._aliases[model] = (now, aliases)
        return aliases

    def manifest(self, ref: Ref) -> Manifest:
        """The manifest of an artifact; versions never change, so it is read once. Raises NotFound, ManifestError."""
        with self._lock:
            manifest = self._manifests.get(ref)
            if manifest is None:
                try:
                    manifest = parse(self.store.get(f"{ref.model}/{ref.version}/manifest.json"))
                except NotFound:
                    raise NotFound(f"Model {ref.model} has no version {ref.version}") from None
                if (manifest.model, manifest.version) != (ref.model, ref.version):
                    raise ManifestError(f"manifest.json of {ref} says it is {manifest.model}@{manifest.version}")
                self._manifests[ref] = manifest
        return manifest

    def models(self) -> list[str]:
        """The names that may be asked for, sorted."""
        if self._pins:
            return sorted(self._pins)
        paths = (path.split("/") for path in self.store.list())
        return [parts[0] for parts in paths if parts[1:] == ["aliases.json"]]

    def versions(self, model: str) -> list[str]:
        """The versions of a model that may be asked for, oldest first."""
        if self._pins.get(model):
            return [self._pins[model]]
        paths = (path.split("/") for path in self.store.list(f"{model}/"))
        return sorted((parts[1] for parts in paths if parts[2:] == ["manifest.json"]), key=int)
