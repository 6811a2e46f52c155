"""Uploads of large inputs: a client uploads an object to a key that we create, and gets the result by its id.

An id is `<kind><32 hexadecimal digits>.<model>`, with 128 random bits, so it cannot be guessed. Its object is in
HEARTH_UPLOADS at `<prefix><model>/[<tenant>/]<kind><digits>`, its result where `storage_events` writes it. The tenant
is that of the caller and not part of the id, so for another tenant the same id means an object that does not exist.
"""

from __future__ import annotations

import re
import secrets
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from hearth import settings, strict_json
from hearth.async_inference import presign
from hearth.auth import api_keys
from hearth.aws.s3 import Bucket
from hearth.errors import BadRequest, NotFound, PayloadTooLarge, Unprocessable
from hearth.models.cache import warm_cache
from hearth.storage.base import AccessDenied, Store
from hearth.storage.open import open_store

MAX_BYTES = 64 * 1024 * 1024
"""Largest size of an object."""
PREFIXES = {"u": "uploads/", "t": "tracks/"}
"""Kind of an object -> prefix of its key."""
SHARED_TASKS = {"object-tracking": ("t", "object-detection")}
"""Tasks that use models of another task -> the kind of their objects, and that other task."""
_UPLOAD_KEY = re.compile(r"/(?:(?P<tenant>[0-9a-f]{16})/)?[ut][0-9a-f]{32}(?!\n)$")
"""The end of a key that was created here."""
_ID = re.compile(r"(?P<kind>[ut])(?P<digits>[0-9a-f]{32})\.(?P<model>[a-z0-9][a-z0-9._-]{0,62})")


class UploadRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A description of the object to upload."""

    model: str
    """A name without a version; the alias `prod` is used."""
    content_type: Annotated[str, Meta(pattern=r"^[A-Za-z0-9!#$&^_.+-]{1,60}/[A-Za-z0-9!#$&^_.+-]{1,60}$(?!\n)")]
    size: Annotated[int, Meta(ge=1)]
    """Size in bytes; a larger upload is refused."""
    task: str = ""
    """The task, if the model supports several: `object-tracking` for a video, for example."""


class UploadTicket(msgspec.Struct, frozen=True):
    """How to upload: POST multipart/form-data with all `fields`, then `file`, to `url`, which may be relative."""

    id: str
    url: str
    key: str
    expires: str
    """ISO 8601; the upload must begin before this time."""
    fields: dict[str, str]


class FilmProgress(msgspec.Struct, frozen=True):
    frames: int
    """Processed frames."""
    of: int | None
    """All frames to process, if the file says how many it has."""


class PendingResult(msgspec.Struct, frozen=True):
    id: str
    status: str = "waiting"
    """`waiting`, or `running` for a film that is being processed."""
    progress: FilmProgress | msgspec.UnsetType = msgspec.UNSET
    """How far a film is."""


class FailedResult(msgspec.Struct, frozen=True):
    """The error of an upload, written next to the path of its result."""

    error_type: str
    reason: str


class Upload(msgspec.Struct, frozen=True):
    kind: str
    digits: str
    model: str

    @property
    def id(self) -> str:
        return f"{self.kind}{self.digits}.{self.model}"

    @property
    def key(self) -> str:
        """The key below HEARTH_UPLOADS, for the current tenant."""
        tenant = api_keys.current_tenant()
        owner = f"{tenant}/" if tenant else ""
        return f"{PREFIXES[self.kind]}{self.model}/{owner}{self.kind}{self.digits}"


def parse_id(upload_id: str) -> Upload:
    """Parse an id; the upload may not exist. Raises NotFound, OutOfScope."""
    match = _ID.fullmatch(upload_id)
    if match is None:
        raise NotFound("There is no such upload; use an id that POST /uploads returned")
    api_keys.authorize(match["model"])
    return Upload(match["kind"], match["digits"], match["model"])


def upload_store() -> Store:
    """The store for uploads. Raises NotFound if uploads are not enabled."""
    uri = settings.get().uploads
    if not uri:
        raise NotFound("Uploads are not enabled here: HEARTH_UPLOADS is not set")
    return open_store(uri)


def source_store(bucket: str) -> Store:
    """The store of a storage event's object: its bucket, or the local server's folder."""
    uri = settings.get().uploads
    return open_store(uri if uri.startswith("file:") else f"s3://{bucket}")


def input_of_key(key: str) -> tuple[str, str] | None:
    """The model of an object, and the task if it uses another task's model; None: the object is not an input."""
    prefixes = {PREFIXES[kind]: task for task, (kind, _) in SHARED_TASKS.items()} | {settings.get().upload_prefix: ""}
    if key.endswith("/"):  # consoles create such objects as folders
        return None
    for prefix, task in prefixes.items():
        model, _, suffix = key.removeprefix(prefix).partition("/")
        if key.startswith(prefix) and suffix:
            return model, task
    return None


def tenant_of_key(key: str) -> str:
    """The tenant of a key; empty: the tenant is unknown, or the key was not created here."""
    match = _UPLOAD_KEY.search(key)
    return (match["tenant"] or "") if match else ""


def is_upload_key(key: str) -> bool:
    """Whether a key was created here, so that a client has its id and may ask for the result."""
    return _UPLOAD_KEY.search(key) is not None


def check_size(size: int) -> None:
    """Raise PayloadTooLarge for an object that is too large."""
    if size > MAX_BYTES:
        raise PayloadTooLarge(f"The object has {size} bytes; {MAX_BYTES} are allowed")


def create_upload(body: bytes) -> UploadTicket:
    """Create an upload for the object that `body` describes.

    Raises BadRequest, NotFound, Forbidden, PayloadTooLarge, StoreError.
    """
    document, target = strict_json.convert(strict_json.loads(body), UploadRequest), upload_store()
    if "@" in document.model:
        raise BadRequest("An upload needs a model's name without a version; the alias prod is used", param="model")
    kind, model_task = SHARED_TASKS.get(document.task, ("u", document.task))
    task = warm_cache().resolve(document.model).manifest.task
    if model_task not in ("", task):
        raise BadRequest(f"{document.model} supports {task}, not {document.task[:40]!r}", param="task")
    if document.size > MAX_BYTES:
        raise PayloadTooLarge(f"An upload can have at most {MAX_BYTES} bytes")
    upload = Upload(kind, secrets.token_hex(16), document.model)
    if target.uri.startswith("file:"):
        fields, expires = presign.signed_form(upload.key, document.content_type, document.size)
        return UploadTicket(upload.id, f"/uploads/{upload.id}", upload.key, presign.isoformat(expires), fields)
    bucket = Bucket(target.uri.removeprefix("s3://").partition("/")[0])
    fields, expires = presign.presigned_post(bucket, upload.key, document.content_type, document.size)
    return UploadTicket(upload.id, bucket.url, upload.key, presign.isoformat(expires), fields)


def get_result(upload_id: str) -> bytes | None:
    """The result's document; None while it is pending.

    Raises NotFound if nothing was uploaded, Unprocessable if processing failed, StoreError.
    """
    upload, source = parse_id(upload_id), upload_store()
    output = open_store(settings.get().output)
    try:
        return output.get(f"{upload.key}.json")
    except NotFound:
        pass
    if upload.key not in source.iter_paths(upload.key):
        raise NotFound("Nothing was uploaded under this id yet, or the upload has expired")
    try:
        failed = msgspec.json.decode(output.get(failure_path(upload.key)), type=FailedResult)
    except NotFound:
        return None
    raise Unprocessable(f"{failed.error_type}: {failed.reason}")


def get_pending(upload_id: str) -> PendingResult:
    """What there is to say of a result that is pending. Raises NotFound, StoreError."""
    upload = parse_id(upload_id)
    if upload.kind != SHARED_TASKS["object-tracking"][0]:
        return PendingResult(upload_id)
    from hearth.tasks import checkpoint  # few results are of films

    progress = checkpoint.read_progress(open_store(settings.get().output), f"{upload.key}{checkpoint.SUFFIX}")
    if progress is None:
        return PendingResult(upload_id)
    return PendingResult(upload_id, "running", FilmProgress(progress.done, progress.total or None))


def failure_path(key: str) -> str:
    """The path of an upload's error."""
    return f"{key}.json.failed"


def delete(upload_id: str) -> None:
    """Delete an upload and its result in all their versions. Raises NotFound for an invalid id, StoreError."""
    upload = parse_id(upload_id)
    upload_store().delete(upload.key)
    output, newest = open_store(settings.get().output), f"{upload.key}.json"
    for path in {newest, *output.iter_paths(newest)}:  # the results of versions begin with the same path
        output.delete(path)


def upload_reference(body: bytes) -> tuple[str, dict[str, Any]] | None:
    """The id and the fields other than `inputs` of a JSON body whose `inputs` refer to an upload; None for other
    bodies."""
    if not strict_json.is_object(body):
        return None
    document = strict_json.loads(body)
    inputs = document.get("inputs")
    if not isinstance(inputs, dict) or inputs.keys() != {"upload"} or not isinstance(inputs["upload"], str):
        return None
    return inputs["upload"], {name: value for name, value in document.items() if name != "inputs"}


def read(upload_id: str, model: str) -> bytes:
    """Read the object that was uploaded for `model`. Raises BadRequest, NotFound, StoreError."""
    upload, source = parse_id(upload_id), upload_store()
    if model != upload.model:
        raise BadRequest(f"This upload is for {upload.model}", param="inputs.upload")
    try:
        return source.get(upload.key, limit=MAX_BYTES)
    except (NotFound, AccessDenied):  # without the permission to list, S3 denies access to missing objects
        raise NotFound(
            "Nothing was uploaded under this id yet, or the upload has expired", param="inputs.upload"
        ) from None
