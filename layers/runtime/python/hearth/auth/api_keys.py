"""Authentication and authorization: API keys stored as hashes, their models and rate limits; on AWS, verified claims.

`HEARTH_API_KEYS` is a JSON list of entries, or the path of a file with one. Keys themselves are not stored. The caller
of a request is in a context variable, which the registry reads whenever a name is resolved, so that no route and no
protocol can omit the check. Work without a request (a prefetch, a storage event) has no caller and is not restricted.
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
SESSION_HEADER = "x-hearth-session"
"""Requests with the same value of this header get the same version of a model, by default those of the same caller."""


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A stored API key."""

    name: Annotated[str, Meta(min_length=1, max_length=200)]
    """Name of the tenant. Several keys of one tenant, such as an old and a new one, can be valid at once."""
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    models: Annotated[list[str], Meta(min_length=1)]
    """Patterns of names, such as `sentiment-*`."""
    rate: Annotated[float, Meta(ge=0)] = 0
    """Average number of requests per second; 0: no limit."""
    burst: Annotated[int, Meta(ge=1)] = 1
    """Number of requests at once after a pause."""


class Caller(msgspec.Struct, frozen=True):
    tenant: str = ""
    """A hash of the tenant's name; empty: the caller is unknown."""
    models: tuple[str, ...] = ("*",)
    session: str = ""
    """The header of the session, if the request has it."""

    def may_use(self, model: str) -> bool:
        return "*" in self.models or any(fnmatchcase(model, pattern) for pattern in self.models)


ANONYMOUS = Caller(models=())
"""A caller without a key on a public route, who may use no models."""
_caller: ContextVar[Caller | None] = ContextVar("hearth-caller", default=None)
_session: ContextVar[str | None] = ContextVar("hearth-session", default=None)


class KeyTable:
    """The valid API keys."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._rows = [
            (entry.sha256, Caller(tenant_hash(entry.name), tuple(entry.models)), _bucket(entry)) for entry in entries
        ]

    def find(self, key: str) -> tuple[Caller, TokenBucket | None]:
        """The caller with a key, found in constant time. Raises Unauthorized."""
        presented, match = hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest(), None
        for sha256, caller, bucket in self._rows:
            if hmac.compare_digest(sha256, presented):
                match = caller, bucket
        if match is None:
            raise Unauthorized("This API key is unknown; ask the operator of the service for one")
        return match


def _bucket(entry: Entry) -> TokenBucket | None:
    return TokenBucket(entry.rate, entry.burst) if entry.rate else None


def tenant_hash(name: str) -> str:
    """The name of a tenant in logs and audit records."""
    return hashlib.sha256(b"hearth-tenant:" + name.encode()).hexdigest()[:16]


def key_table() -> KeyTable | None:
    """The keys of HEARTH_API_KEYS; None if it is not set and no key is required. Raises SettingsError."""
    source = settings.get().api_keys
    return _read_table(source) if source else None


@functools.lru_cache(maxsize=1)
def _read_table(source: str) -> KeyTable:
    if source.lstrip().startswith("["):
        raw, source_name = source.encode("utf-8", "surrogateescape"), "HEARTH_API_KEYS"
    else:
        source_name = f"The file {source} of HEARTH_API_KEYS"
        try:
            raw = Path(source.removeprefix("file://")).read_bytes()
        except OSError as error:
            raise SettingsError(f"{source_name} cannot be read: {error.strerror}") from None
    from hearth.strict_json import decode_text  # where no keys are required, few functions read JSON

    try:
        return KeyTable(msgspec.json.decode(decode_text(raw), type=list[Entry]))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{source_name} must be a JSON list of entries from `hearth api-key`: {error}") from None


def identify(headers: Mapping[str, str], event: Any = None) -> tuple[Caller, TokenBucket | None]:
    """The caller, from `headers` (names in lower case) and the AWS `event` of the request, if any.

    Raises Unauthorized, SettingsError.
    """
    table = key_table()
    if table is None:
        return Caller(_verified_tenant(event)), None
    key = headers.get(HEADER, "")
    if not key:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        key = token.strip() if scheme.lower() == "bearer" else ""
    if not key:
        raise Unauthorized("Send an API key in the header x-api-key or as Authorization: Bearer")
    return table.find(key)


def authenticate(headers: Mapping[str, str], event: Any = None, *, public: bool = False) -> Caller:
    """Identify the caller, and restrict the request to the models that they may use.

    Raises Unauthorized, TooManyRequests, SettingsError; then the caller is anonymous.
    """
    _caller.set(ANONYMOUS)
    if public and key_table():
        return ANONYMOUS
    caller, bucket = identify(headers, event)
    if bucket and (wait := bucket.take()):
        seconds = max(1, math.ceil(wait))
        raise TooManyRequests(f"Too many requests with this API key; retry in {seconds} s", retry_after=seconds)
    if session := headers.get(SESSION_HEADER):
        caller = msgspec.structs.replace(caller, session=session)
    _caller.set(caller)
    return caller


def session_of(headers: Mapping[str, str], caller: Caller) -> str:
    """The session of a request: its header, or its caller; empty if both are unknown."""
    return headers.get(SESSION_HEADER) or caller.tenant


def set_session(session: str) -> None:
    """Set the session of work that has no caller, such as an upload's."""
    _session.set(session)


def has_caller() -> bool:
    """Whether a caller waits for this work: a request has one, although they may be unknown."""
    return _caller.get() is not None


def current_session() -> str | None:
    """What the current request has in common with those that get the same version; empty: nothing; None: there is no
    request."""
    caller = _caller.get()
    return _session.get() if caller is None else caller.session or caller.tenant


@contextmanager
def anonymous() -> Iterator[None]:
    """Run the block anonymously: where keys are required, it sees no models."""
    token = _caller.set(ANONYMOUS if key_table() else None)
    try:
        yield
    finally:
        _caller.reset(token)


def authorize(model: str) -> None:
    """Raise OutOfScope if the caller may not use `model`, whether the model exists or not."""
    caller = _caller.get()
    if caller and not caller.may_use(model):
        raise OutOfScope(f"This API key may not use {model}; GET /models lists the models that it may use")


def current_tenant() -> str:
    """The hash of the current tenant; empty: the caller is unknown."""
    caller = _caller.get()
    return caller.tenant if caller else ""


def allowed_models(models: Iterable[str]) -> list[str]:
    """The models that the caller may use."""
    caller = _caller.get()
    return [model for model in models if caller is None or caller.may_use(model)]


def _verified_tenant(event: Any) -> str:
    """The tenant that API Gateway has verified; values that a client can set itself are ignored."""
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
"""Kind of principal -> its path in the request context of API Gateway and function URLs; users before metered keys."""
