"""What can go wrong, as a tree. Each class knows its HTTP status and its stable code.

HearthError
├── BadRequest 400            what the caller sent is wrong
│   ├── PayloadTooLarge 413
│   ├── UnsupportedMedia 415
│   ├── Unprocessable 422     what was uploaded cannot be answered
│   ├── NotFound 404          no such route, model, version or alias
│   ├── MethodNotAllowed 405
│   ├── Unauthorized 401      no API key, or none that is known
│   ├── TooManyRequests 429   the API key asks too often; Retry-After says when to ask again
│   └── Forbidden 403
│       └── OutOfScope        a model that this API key may not ask for
├── Unavailable 503           the model cannot be served now; asking again may help
│   ├── StoreError            the store did not answer in time, or refused
│   └── IntegrityError        what the store holds is not what the manifest says
├── DeadlineExceeded 504      the work took longer than a request may
├── ManifestError 500         a manifest that does not follow the schema
├── SettingsError 500         an environment variable that makes no sense
└── Internal 500              our own fault; the cause is in the log, not in the answer
"""

from __future__ import annotations

ENDS = (KeyboardInterrupt, SystemExit, GeneratorExit)
"""What even an outermost boundary lets pass. A tokenizer's panic is a BaseException too, and is not among them."""


class HearthError(Exception):
    status = 500
    code = "internal"

    def __init__(self, message: str, *, retry_after: int | None = None, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after = retry_after
        self.param = param
        """The field that is wrong, as a path of names with dots between."""


class BadRequest(HearthError):
    status = 400
    code = "bad_request"


class PayloadTooLarge(BadRequest):
    status = 413
    code = "payload_too_large"


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
    """Of a model that may be there or not: the caller does not learn which."""


class Unavailable(HearthError):
    status = 503
    code = "unavailable"

    def __init__(self, message: str, *, retry_after: int | None = 1) -> None:
        super().__init__(message, retry_after=retry_after)


class StoreError(Unavailable):
    code = "store_error"


class IntegrityError(Unavailable):
    code = "integrity_error"


class DeadlineExceeded(HearthError):
    """Asking for the same again takes as long again."""

    status = 504
    code = "timeout"


class ManifestError(HearthError):
    code = "manifest_error"


class SettingsError(HearthError):
    code = "settings_error"


class Internal(HearthError):
    """Stands for any exception that is not ours; carries nothing of it to the caller."""
