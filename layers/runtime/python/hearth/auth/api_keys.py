"""Who asks: API keys kept as hashes, the models that each may name, how often it may ask; on AWS, verified claims.

`HEARTH_API_KEYS` is a JSON list of entries, or the path of a file with one. A key itself is kept nowhere. What a
caller may see is held in a context variable, which the registry asks wherever a name becomes a model: no route and
no dialect can forget it. Work that no request began (a prefetch, a storage event) is not bound by it.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from hearth import settings
from hearth.auth.token_bucket import Bucket
from hearth.errors import OutOfScope, SettingsError, TooManyRequests, Unauthorized

HEADER = "x-api-key"


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A key as it is kept."""

    name: Annotated[str, Meta(min_length=1, max_length=200)]
    """The tenant's; two keys of one tenant, old and new, may be valid at once."""
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    models: Annotated[list[str], Meta(min_length=1)]
    """Patterns of names, as `sentiment-*`."""
    rate: Annotated[float, Meta(ge=0)] = 0
    """Requests a second in the long run; 0: without limit."""
    burst: Annotated[int, Meta(ge=1)] = 1
    """Requests at once, of a key that has rested."""


class Caller(msgspec.Struct, frozen=True):
    tenant: str = ""
    """A hash of the tenant's name; empty: nobody said who asks."""
    models: tuple[str, ...] = ("*",)

    def may(self, model: str) -> bool:
        return "*" in self.models or any(fnmatchcase(model, pattern) for pattern in self.models)


NOBODY = Caller(models=())
"""Who asks without a key for what is open to all: for him there are no models."""
_caller: ContextVar[Caller | None] = ContextVar("hearth-caller", default=None)


class Table:
    """The keys that are valid here."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._rows = [
            (entry.sha256, Caller(tenant(entry.name), tuple(entry.models)), _bucket(entry)) for entry in entries
        ]

    def find(self, key: str) -> tuple[Caller, Bucket | None]:
        """Takes as long for a wrong key as for any right one. Raises Unauthorized."""
        presented, found = hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest(), None
        for kept, caller, bucket in self._rows:
            if hmac.compare_digest(kept, presented):
                found = caller, bucket
        if found is None:
            raise Unauthorized("This API key is not known here; ask whoever runs the service for one")
        return found


def _bucket(entry: Entry) -> Bucket | None:
    return Bucket(entry.rate, entry.burst) if entry.rate else None


def tenant(name: str) -> str:
    """What logs and audit records call a tenant."""
    return hashlib.sha256(b"hearth-tenant:" + name.encode()).hexdigest()[:16]


def table() -> Table | None:
    """The keys of HEARTH_API_KEYS; None: it is not set, and all may ask. Raises SettingsError."""
    source = settings.get().api_keys
    return _table(source) if source else None


@functools.lru_cache(maxsize=1)
def _table(source: str) -> Table:
    if source.lstrip().startswith("["):
        raw, words = source.encode("utf-8", "surrogateescape"), "HEARTH_API_KEYS"
    else:
        words = f"The file {source} of HEARTH_API_KEYS"
        try:
            raw = Path(source.removeprefix("file://")).read_bytes()
        except OSError as error:
            raise SettingsError(f"{words} cannot be read: {error.strerror}") from None
    try:
        return Table(msgspec.json.decode(raw, type=list[Entry]))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{words} must be a JSON list of what `hearth api-key` prints: {error}") from None


def identify(headers: Mapping[str, str], event: Any = None) -> tuple[Caller, Bucket | None]:
    """Who asks, by the names in small letters of `headers` and the AWS `event`, if it came as one.

    Raises Unauthorized, SettingsError.
    """
    known = table()
    if known is None:
        return Caller(_verified(event)), None
    key = headers.get(HEADER, "")
    if not key:
        scheme, _, rest = headers.get("authorization", "").partition(" ")
        key = rest.strip() if scheme.lower() == "bearer" else ""
    if not key:
        raise Unauthorized("Send an API key, as the header x-api-key or as Authorization: Bearer")
    return known.find(key)


def admit(headers: Mapping[str, str], event: Any = None, *, open_to_all: bool = False) -> Caller:
    """Let a request in, and bind all that is done for it to what its caller may see.

    Raises Unauthorized, TooManyRequests, SettingsError; the caller then sees nothing.
    """
    _caller.set(NOBODY)
    if open_to_all and table():
        return NOBODY
    caller, bucket = identify(headers, event)
    if bucket and (wait := bucket.take()):
        seconds = max(1, math.ceil(wait))
        raise TooManyRequests(f"This API key asks too often; ask again in {seconds} s", retry_after=seconds)
    _caller.set(caller)
    return caller


@contextmanager
def hidden() -> Iterator[None]:
    """For what is open to all: where keys are wanted, the block sees no models."""
    token = _caller.set(NOBODY if table() else None)
    try:
        yield
    finally:
        _caller.reset(token)


def permit(model: str) -> None:
    """Raises OutOfScope, whether there is such a model or not."""
    caller = _caller.get()
    if caller and not caller.may(model):
        raise OutOfScope(f"This API key may not ask for {model}; GET /models lists what it may")


def asking() -> str:
    """The hash of the tenant who asks; empty: nobody said."""
    caller = _caller.get()
    return caller.tenant if caller else ""


def visible(models: Iterable[str]) -> list[str]:
    caller = _caller.get()
    return [model for model in models if caller is None or caller.may(model)]


def _verified(event: Any) -> str:
    """The tenant that the front door has verified; what a client can write itself is not looked at."""
    told = event.get("requestContext") if isinstance(event, dict) else None
    for kind, path in PRINCIPALS.items():
        place: Any = told
        for name in path:
            place = place.get(name) if isinstance(place, dict) else None
        if place and isinstance(place, str):
            return tenant(f"{kind}:{place}")
    return ""


PRINCIPALS = {
    "cognito": ("authorizer", "claims", "sub"),
    "jwt": ("authorizer", "jwt", "claims", "sub"),
    "authorizer": ("authorizer", "principalId"),
    "iam": ("authorizer", "iam", "userArn"),
    "arn": ("identity", "userArn"),
    "key": ("identity", "apiKeyId"),
}
"""Where API Gateway and function URLs write who was let in, by kind: a person before the key that is metered."""
