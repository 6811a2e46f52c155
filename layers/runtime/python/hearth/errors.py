"""The hierarchy of errors. Each class has an HTTP status and a stable code.

HearthError
├── BadRequest 400            the request is invalid
│   ├── RequestTimeout 408    the client sends too slowly
│   ├── PayloadTooLarge 413
│   │   └── TextTooLong       a text is longer than the model reads
│   ├── UnsupportedMedia 415
│   ├── Unprocessable 422     an upload could not be processed
│   ├── NotFound 404          no such route, model, version or alias
│   ├── MethodNotAllowed 405
│   ├── Unauthorized 401      no API key, or an unknown one
│   ├── TooManyRequests 429   too many requests with an API key; Retry-After has the time to wait
│   └── Forbidden 403
│       └── OutOfScope        a model that the API key may not use
├── Unavailable 503           the model cannot be served at the moment; a retry may help
│   ├── Loading               the model is being downloaded or loaded; Retry-After says how long it takes
│   ├── StoreError            the store did not respond in time, or refused the request
│   └── IntegrityError        the store's content does not match the manifest
├── DeadlineExceeded 504      the request took too long
├── ManifestError 500         a manifest that does not follow the schema
├── SettingsError 500         an invalid environment variable
└── Internal 500              an internal error; its cause is in the log, not in the response
"""

from __future__ import annotations

ENDS = (KeyboardInterrupt, SystemExit, GeneratorExit)
"""Exceptions that even the outermost boundary must not catch. A tokenizer's panic is a BaseException too, but is
caught."""


class HearthError(Exception):
    status = 500
    code = "internal"

    def __init__(self, message: str, *, retry_after: int | None = None, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after = retry_after
        self.param = param
        """Path of the invalid field, as names separated by dots."""


class BadRequest(HearthError):
    status = 400
    code = "bad_request"


class RequestTimeout(BadRequest):
    status = 408
    code = "request_timeout"


class PayloadTooLarge(BadRequest):
    status = 413
    code = "payload_too_large"


class TextTooLong(PayloadTooLarge):
    """A text is longer than the model reads."""

    def __init__(self, message: str, *, tokens: int = 0, new_tokens: int = 0) -> None:
        super().__init__(message)
        self.tokens = tokens
        """Tokens of the text; 0: it was not tokenized, because it has too many characters."""
        self.new_tokens = new_tokens
        """Tokens that were to be generated."""


class UnsupportedMedia(BadRequest):
    status = 415
    code = "unsupported_media"


class Unprocessable(BadRequest):
    status = 422
    code = "unprocessable"


class NotFound(BadRequest):
    status = 404
    code = "not_found"


class MethodNotAllowed(BadRequest):
    status = 405
    code = "method_not_allowed"


class Unauthorized(BadRequest):
    status = 401
    code = "unauthorized"


class TooManyRequests(BadRequest):
    status = 429
    code = "too_many_requests"


class Forbidden(BadRequest):
    status = 403
    code = "forbidden"


class OutOfScope(Forbidden):
    """The caller may not use the model; they do not learn whether it exists."""


class Unavailable(HearthError):
    status = 503
    code = "unavailable"

    def __init__(self, message: str, *, retry_after: int | None = 1) -> None:
        super().__init__(message, retry_after=retry_after)


class StoreError(Unavailable):
    code = "store_error"


class Loading(Unavailable):
    """What was downloaded stays, so that the next attempt goes on from there."""

    code = "loading"


class IntegrityError(Unavailable):
    code = "integrity_error"


class DeadlineExceeded(HearthError):
    """The request took too long; a retry would take as long."""

    status = 504
    code = "timeout"


class ManifestError(HearthError):
    code = "manifest_error"


class SettingsError(HearthError):
    code = "settings_error"


class Internal(HearthError):
    """Any unexpected exception; the caller gets no details of it."""
