"""Who asks: API keys kept as hashes, the models that each may use, how often it may ask; on AWS, verified claims.

`HEARTH_API_KEYS` is a JSON list of entries, or the path of a file with one. A key itself is kept nowhere. The caller of
a request is held in a context variable, which the registry reads wherever a name becomes a model, so that no route and
no protocol can forget it. Work that no request began (a prefetch, a storage event) has no caller and is not restricted.
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
from hearth.auth.token_bucket import TokenBucket
from hearth.errors import OutOfScope, SettingsError, TooManyRequests, Unauthorized

HEADER = "x-api-key"


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A key as it is kept."""

    name: Annotated[str, Meta(min_length=1, max_length=200)]
    """Of the tenant. Two keys of one tenant, old and new, may be valid at once."""
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    models: Annotated[list[str], Meta(min_length=1)]
    """Patterns of names, such as `sentiment-*`."""
    rate: Annotated[float, Meta(ge=0)] = 0
    """Requests a second in the long run; 0: no limit."""
    burst: Annotated[int, Meta(ge=1)] = 1
    """Requests at once, by a key that has rested."""


class Caller(msgspec.Struct, frozen=True):
    tenant: str = ""
    """A hash of the tenant's name; empty: the caller is not known."""
    models: tuple[str, ...] = ("*",)

    def may_use(self, model: str) -> bool:
        return "*" in self.models or any(fnmatchcase(model, pattern) for pattern in self.models)


ANONYMOUS = Caller(models=())
"""A caller without a key on a public route: there are no models for them."""
_caller: ContextVar[Caller | None] = ContextVar("hearth-caller", default=None)


class KeyTable:
    """The keys that are valid here."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._rows = [
            (entry.sha256, Caller(tenant_hash(entry.name), tuple(entry.models)), _bucket(entry)) for entry in entries
        ]

    def find(self, key: str) -> tuple[Caller, TokenBucket | None]:
        """Takes as long for a wrong key as for any right one. Raises Unauthorized."""
        presented, match = hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest(), None
        for kept, caller, bucket in self._rows:
            if hmac.compare_digest(kept, presented):
                match = caller, bucket
        if match is None:
            raise Unauthorized("This API key is not known here; ask whoever runs the service for one")
        return match


def _bucket(entry: Entry) -> TokenBucket | None:
    return TokenBucket(entry.rate, entry.burst) if entry.rate else None


def tenant_hash(name: str) -> str:
    """What logs and audit records call a tenant."""
    return hashlib.sha256(b"hearth-tenant:" + name.encode()).hexdigest()[:16]


def key_table() -> KeyTable | None:
    """The keys of HEARTH_API_KEYS; None where it is not set and everybody may ask. Raises SettingsError."""
    source = settings.get().api_keys
    return _read_table(source) if source else None


@functools.lru_cache(maxsize=1)
def _read_table(source: str) -> KeyTable:
    if source.lstrip().startswith("["):
        raw, place = source.encode("utf-8", "surrogateescape"), "HEARTH_API_KEYS"
    else:
        place = f"The file {source} of HEARTH_API_KEYS"
        try:
            raw = Path(source.removeprefix("file://")).read_bytes()
        except OSError as error:
            raise SettingsError(f"{place} cannot be read: {error.strerror}") from None
    try:
        return KeyTable(msgspec.json.decode(raw, type=list[Entry]))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{place} must be a JSON list of what `hearth api-key` prints: {error}") from None


def identify(headers: Mapping[str, str], event: Any = None) -> tuple[Caller, TokenBucket | None]:
    """The caller, by `headers` (names in lower case) and by the AWS `event`, where the request came as one.

    Raises Unauthorized, SettingsError.
    """
    known = key_table()
    if known is None:
        return Caller(_verified_tenant(event)), None
    key = headers.get(HEADER, "")
    if not key:
        scheme, _, rest = headers.get("authorization", "").partition(" ")
        key = rest.strip() if scheme.lower() == "bearer" else ""
    if not key:
        raise Unauthorized("Send an API key, as the header x-api-key or as Authorization: Bearer")
    return known.find(key)


def authenticate(headers: Mapping[str, str], event: Any = None, *, public: bool = False) -> Caller:
    """Find out who asks, and restrict all that is done for this request to what they may use.

    Raises Unauthorized, TooManyRequests, SettingsError; the caller is anonymous then.
    """
    _caller.set(ANONYMOUS)
    if public and key_table():
        return ANONYMOUS
    caller, bucket = identify(headers, event)
    if bucket and (wait := bucket.take()):
        seconds = max(1, math.ceil(wait))
        raise TooManyRequests(f"This API key asks too often; ask again in {seconds} s", retry_after=seconds)
    _caller.set(caller)
    return caller


@contextmanager
def anonymous() -> Iterator[None]:
    """For what is public: where keys are asked for, the block sees no models."""
    token = _caller.set(ANONYMOUS if key_table() else None)
    try:
        yield
    finally:
        _caller.reset(token)


def authorize(model: str) -> None:
    """Raises OutOfScope where the caller may not use `model`, whether there is such a model or not."""
    caller = _caller.get()
    if caller and not caller.may_use(model):
        raise OutOfScope(f"This API key may not ask for {model}; GET /models lists what it may")


def current_tenant() -> str:
    """The hash of the tenant who asks; empty: the caller is not known."""
    caller = _caller.get()
    return caller.tenant if caller else ""


def allowed_models(models: Iterable[str]) -> list[str]:
    """Those of `models` that the caller may use."""
    caller = _caller.get()
    return [model for model in models if caller is None or caller.may_use(model)]


def _verified_tenant(event: Any) -> str:
    """The tenant that API Gateway has verified; what a client can write itself is not looked at."""
    context = event.get("requestContext") if isinstance(event, dict) else None
    for kind, path in PRINCIPALS.items():
        value: Any = context
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        if value and isinstance(value, str):
            return tenant_hash(f"{kind}:{value}")
    return ""


PRINCIPALS = {
    "cognito": ("authorizer", "claims", "sub"),
    "jwt": ("authorizer", "jwt", "claims", "sub"),
    "authorizer": ("authorizer", "principalId"),
    "iam": ("authorizer", "iam", "userArn"),
    "arn": ("identity", "userArn"),
    "key": ("identity", "apiKeyId"),
}
"""Where API Gateway and function URLs write who was authenticated, by kind: a person before the key that is metered."""
