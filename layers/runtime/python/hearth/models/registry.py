"""Resolves model names to artifacts: `name`, `name@version`, `name@alias`."""

from __future__ import annotations

import bisect
import hashlib
import re
import threading
import time
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta

from hearth import deadline
from hearth.auth import api_keys
from hearth.errors import BadRequest, Forbidden, HearthError, IntegrityError, ManifestError, NotFound, StoreError
from hearth.models import catalog
from hearth.models.catalog import Catalog
from hearth.models.manifest import SIGNATURE, Manifest, Version, parse
from hearth.storage.base import Store
from hearth.telemetry.timing import current

if TYPE_CHECKING:
    from hearth.models.signature import Signed, Trust

DEFAULT_ALIAS = "prod"
MAX_MANIFESTS, MAX_MANIFEST_BYTES, MAX_ALIASES = 2000, 32 * 1024 * 1024, 10_000
"""Manifests, bytes of their files and models' aliases that a registry remembers; the oldest are forgotten first."""
MAX_BYTES = 4 * 1024 * 1024
"""Largest size of a manifest, a signature or aliases.json; they are read before anything verifies them."""
REFRESH_SECONDS = 2.0
"""How long a request waits for the store where an older value is known."""
VERSION = re.compile("[1-9][0-9]{0,8}")
_NAME = re.compile(r"(?P<model>[a-z0-9][a-z0-9._-]{0,62})(@(?P<suffix>[A-Za-z0-9][A-Za-z0-9._-]{0,62}))?")


Share = Annotated[float, Meta(ge=0, le=1)]


class Split(msgspec.Struct, frozen=True):
    """A version that gets a share of an alias's requests."""

    version: Version
    share: Share = 1.0


class Alias(msgspec.Struct, frozen=True, omit_defaults=True):
    version: Version
    canary: Split | None = None
    """The version that answers for a share of the callers."""
    shadow: Split | None = None
    """The version that computes the answers to a share of the requests too, for comparison."""


class Ref(msgspec.Struct, frozen=True):
    """One artifact."""

    model: str
    version: str

    def __str__(self) -> str:
        return f"{self.model}@{self.version}"


class Resolved(msgspec.Struct, frozen=True):
    """The artifact that a name means for one request. All work for the request uses this object."""

    name: str
    """The name as it was requested."""
    ref: Ref
    manifest: Manifest
    fallback: Ref | None = None
    """The alias's own version, if `ref` is its canary."""
    shadow: Ref | None = None
    """The version that computes the answer too, after it has left."""


class Registry:
    """Resolves names against a store.

    `allowed` lists the models as `name` or `name@version`, which then also is the version of the bare name; empty: all
    models of the store. With `trust`, a manifest is parsed only after its signature was verified.
    """

    def __init__(
        self, store: Store, allowed: Sequence[str] = (), alias_seconds: float = 60, trust: Trust | None = None
    ) -> None:
        self.store = store
        self._trust = trust
        self._pins = {name.partition("@")[0]: name.partition("@")[2] for name in allowed}
        self._alias_seconds = alias_seconds
        self._aliases: dict[str, tuple[float, dict[str, Alias]]] = {}
        self._catalog: tuple[float, Catalog | None] | None = None
        self._manifests: dict[Ref, Manifest] = {}
        self._origins: dict[Ref, tuple[str, str | None]] = {}
        self._sizes: dict[Ref, int] = {}
        self._lock = threading.Lock()

    def resolve(self, name: str) -> Resolved:
        """The artifact that `name` means now for this caller, with its manifest.

        Raises what `find` and `manifest` raise.
        """
        model, alias = self._find(name)
        if alias.canary or alias.shadow:
            return self._split(name, model, alias)
        ref = Ref(model, alias.version)
        return Resolved(name, ref, self.manifest(ref))

    def find(self, name: str) -> Ref:
        """The artifact that `name` means now, a canary aside. Raises BadRequest, Forbidden, NotFound, StoreError."""
        model, alias = self._find(name)
        return Ref(model, alias.version)

    def _split(self, name: str, model: str, alias: Alias) -> Resolved:
        """The version that the alias's shares choose, or its own one if that cannot be used. Raises as `manifest`."""
        from hearth.models import traffic  # few aliases have shares

        version, shadow = traffic.choose(model, alias)
        current().fields["routed"] = f"{model}@{version}"
        own, shadow_ref = Ref(model, alias.version), Ref(model, shadow) if shadow else None
        if version != alias.version:
            with suppress(HearthError):
                ref = Ref(model, version)
                return Resolved(name, ref, self.manifest(ref), own, shadow_ref)
        return Resolved(name, own, self.manifest(own), None, shadow_ref)

    def _find(self, name: str) -> tuple[str, Alias]:
        """The model of a name, and what the name means of it. Raises BadRequest, Forbidden, NotFound, StoreError.

        The caller's scope is enforced here and in `models`: every requested name passes through here.
        """
        match = _NAME.fullmatch(name)
        if match is None:
            raise BadRequest(
                "A model name must be name, name@version or name@alias, of lower-case letters, digits and - . _"
            )
        model, suffix = match["model"], match["suffix"]
        api_keys.authorize(model)
        if self._pins and model not in self._pins:
            raise NotFound(f"There is no model {model} here; GET /models lists the available models")
        pin = self._pins.get(model)
        if pin:
            if suffix not in (None, pin):
                raise Forbidden(f"Only version {pin} of {model} is served here")
            return model, Alias(pin)
        if suffix and suffix.isdecimal():
            return model, Alias(suffix)
        alias = self.aliases(model).get(suffix or DEFAULT_ALIAS)
        if alias is None:
            raise NotFound(
                f"Model {model} has no alias {suffix or DEFAULT_ALIAS}; "
                "request a version, or set the alias with `hearth alias`"
            )
        return model, alias

    def aliases(self, model: str) -> dict[str, Alias]:
        """A model's aliases, at most `alias_seconds` old, or older if the store does not respond."""
        cached = self._aliases.get(model)
        now = time.monotonic()
        if cached and now - cached[0] < self._alias_seconds:
            return cached[1]
        if cached:  # this request asks the store, the others do not wait for its response
            self._aliases[model] = (now, cached[1])
        try:
            with deadline.within(REFRESH_SECONDS) if cached else nullcontext():
                raw = self.store.get(f"{model}/aliases.json", limit=MAX_BYTES)
            aliases = msgspec.json.decode(raw, type=dict[str, Alias])
        except NotFound:
            self._aliases.pop(model, None)
            self.store.check()
            raise NotFound(f"There is no model {model} here; GET /models lists the available models") from None
        except (StoreError, msgspec.DecodeError, UnicodeDecodeError) as error:
            if cached:
                return cached[1]
            raise StoreError(f"The aliases of {model} cannot be read: {error}") from error
        self._aliases[model] = (now, aliases)
        while len(self._aliases) > MAX_ALIASES:
            self._aliases.pop(next(iter(self._aliases)), None)
        return aliases

    def forget_aliases(self) -> None:
        """Read the catalogue and all aliases from the store again at their next use."""
        self._catalog = None
        self._aliases.clear()

    def manifest(self, ref: Ref) -> Manifest:
        """The manifest of an artifact. Versions never change, so it is read once.

        Raises NotFound, ManifestError, StoreError; IntegrityError if no trusted key signed it.
        """
        manifest = self._manifests.get(ref)  # without the lock, which other threads hold while they wait for the store
        if manifest is None:
            with self._lock:
                manifest = self._manifests.get(ref)
                if manifest is None:
                    manifest = self._manifests[ref] = self._read(ref)
                    self._forget_oldest(ref)
        return manifest

    def _forget_oldest(self, newest: Ref) -> None:
        """Forget the manifests that were read first, until the others are within the limits."""
        size = sum(self._sizes.values())
        while len(self._manifests) > MAX_MANIFESTS or size > MAX_MANIFEST_BYTES:
            oldest = next(iter(self._manifests))
            if oldest == newest:
                break
            size -= self._sizes.pop(oldest, 0)
            del self._manifests[oldest]
            self._origins.pop(oldest, None)

    def _read(self, ref: Ref) -> Manifest:
        if self._trust:
            self._trust.check_version(ref.model, ref.version)
        try:
            raw = self.store.get(f"{ref.model}/{ref.version}/manifest.json", limit=MAX_BYTES)
        except NotFound:
            self._aliases.pop(ref.model, None)  # the alias may be corrected before its cache entry expires
            raise NotFound(f"Model {ref.model} has no version {ref.version}") from None
        signed = self._verify_signature(self._trust, ref, raw) if self._trust else None
        manifest = parse(raw)
        if (manifest.model, manifest.version) != (ref.model, ref.version):
            raise ManifestError(f"manifest.json of {ref} describes {manifest.model}@{manifest.version}")
        digest = hashlib.sha256(raw).hexdigest()
        files = {file.path: file.sha256 for file in manifest.files} | {"manifest.json": digest}
        if signed and signed.files != files:
            raise IntegrityError(f"The files listed in manifest.json of {ref} are not the files that were signed")
        self._origins[ref], self._sizes[ref] = (digest, signed.key if signed else None), len(raw)
        return manifest

    def _verify_signature(self, trust: Trust, ref: Ref, manifest: bytes) -> Signed:
        """What a trusted key signed of the artifact whose manifest.json has these bytes. Raises IntegrityError."""
        try:
            signature = self.store.get(f"{ref.model}/{ref.version}/{SIGNATURE}", limit=MAX_BYTES)
        except NotFound:
            raise IntegrityError(
                f"{ref} is not signed; sign it with `hearth sign` or `hearth publish --sign`"
            ) from None
        return trust.check(signature, ref.model, ref.version, manifest)

    def origin(self, ref: Ref) -> tuple[str | None, str | None]:
        """SHA-256 of a manifest that was read, and the name of the key that signed it, if any."""
        return self._origins.get(ref, (None, None))

    def read_file(self, ref: Ref, path: str, limit: int) -> bytes | None:
        """A small file of an artifact; None if the artifact has no such file, or a larger one.

        Raises what `manifest` raises; IntegrityError if it is not the file that the manifest names.
        """
        entry = next((file for file in self.manifest(ref).files if file.path == path), None)
        if entry is None or entry.size > limit:
            return None
        raw = self.store.get(f"{ref.model}/{ref.version}/{path}", limit=limit)
        if hashlib.sha256(raw).hexdigest() != entry.sha256:
            raise IntegrityError(f"{path} of {ref} does not match the manifest")
        return raw

    def models(self) -> list[str]:
        """The models that the caller may use, sorted. Raises StoreError."""
        self.store.check()
        if self._pins:
            return api_keys.allowed_models(sorted(self._pins))
        names = self._stored_catalog()
        return api_keys.allowed_models(models_with_aliases(self.store) if names is None else names)

    def catalog(self) -> tuple[Catalog, dict[str, HearthError]]:
        """What the caller's models are, and the errors of those that cannot be used, by name. Raises StoreError."""
        return self._describe(self.models())

    def catalog_page(self, after: str, limit: int) -> tuple[Catalog, dict[str, HearthError], str]:
        """As `catalog`, of at most `limit` models whose names come after `after`; and the last name if others follow.

        Raises StoreError.
        """
        names = self.models()
        start = bisect.bisect_right(names, after)
        page = names[start : start + limit]
        return *self._describe(page), page[-1] if start + limit < len(names) else ""

    def _describe(self, names: Sequence[str]) -> tuple[Catalog, dict[str, HearthError]]:
        """Models, and the errors of those that cannot be used, by name. The store's catalogue describes them, at most
        `alias_seconds` old; without one, each is resolved."""
        stored = None if self._pins else self._stored_catalog()
        if stored is not None:
            return {name: stored[name] for name in names if name in stored}, {}
        entries, failures = Catalog(), dict[str, HearthError]()
        for name in names:
            try:
                entries[name] = catalog.describe(self.resolve(name).manifest)
            except HearthError as error:
                failures[name] = error
        return entries, failures

    def _stored_catalog(self) -> Catalog | None:
        """The store's catalogue, at most `alias_seconds` old, or older if the store does not respond; None: there is
        none."""
        now, known = time.monotonic(), self._catalog
        if known and now - known[0] < self._alias_seconds:
            return known[1]
        if known:
            self._catalog = now, known[1]
        try:
            with deadline.within(REFRESH_SECONDS) if known else nullcontext():
                found = catalog.read(self.store)
        except StoreError:
            if known is None:
                raise
            return known[1]
        entries = found[0] if found else None
        self._catalog = now, entries
        return entries

    def all_versions(self) -> dict[str, list[str]]:
        """The served versions of each of the caller's models, oldest first. Raises StoreError."""
        names = self.models()
        if self._pins:
            return {name: self.versions(name) for name in names}
        stored: dict[str, list[str]] = {name: [] for name in names}
        for path in self.store.iter_paths():
            model, _, file = path.partition("/")
            version = file.removesuffix("/manifest.json")
            if model in stored and version != file and VERSION.fullmatch(version):
                stored[model].append(version)
        return {name: sorted(versions, key=int) for name, versions in stored.items()}

    def versions(self, model: str) -> list[str]:
        """The versions of a model that are served, oldest first."""
        if self._pins.get(model):
            return [self._pins[model]]
        return published_versions(self.store, model)


def models_with_aliases(store: Store) -> list[str]:
    """The models of a store that have an alias. Raises StoreError."""
    paths = (path.split("/") for path in store.list())
    return [parts[0] for parts in paths if parts[1:] == ["aliases.json"]]


def published_versions(store: Store, model: str) -> list[str]:
    """The versions of a model in a store, oldest first."""
    paths = (path.split("/") for path in store.list(f"{model}/"))
    versions = [parts[1] for parts in paths if parts[2:] == ["manifest.json"] and VERSION.fullmatch(parts[1])]
    return sorted(versions, key=int)
