"""Large inputs: a client puts an object under a key that we choose, and asks for the result by its id.

An id is `<kind><32 hexadecimal digits>.<model>`: 128 random bits, which nobody guesses. Its object lies in
HEARTH_UPLOADS at `<prefix><model>/[<tenant>/]<kind><digits>`, its result where `storage_events` writes it. The tenant
is the caller's own and stands in no id: for another tenant, the same id names an object that does not exist.
"""

from __future__ import annotations

import re
import secrets
from typing import Annotated, Any
from urllib.parse import urlsplit

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
"""Of an object."""
PREFIXES = {"u": "uploads/", "t": "tracks/"}
"""Where objects of a kind lie."""
SHARED_TASKS = {"object-tracking": ("t", "object-detection")}
"""Tasks that answer by models of another: the kind of their objects, and that other task."""
_OUR_KEY = re.compile(r"/(?:(?P<tenant>[0-9a-f]{16})/)?[ut][0-9a-f]{32}(?!\n)$")
"""How a key ends that was chosen here."""
_ID = re.compile(r"(?P<kind>[ut])(?P<digits>[0-9a-f]{32})\.(?P<model>[a-z0-9][a-z0-9._-]{0,62})")


class UploadRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be uploaded."""

    model: str
    """A name without version: `prod` answers."""
    content_type: Annotated[str, Meta(pattern=r"^[A-Za-z0-9!#$&^_.+-]{1,60}/[A-Za-z0-9!#$&^_.+-]{1,60}$(?!\n)")]
    size: Annotated[int, Meta(ge=1)]
    """Bytes; more are refused where they arrive."""
    task: str = ""
    """Where a model answers several: `object-tracking` of a video."""


class UploadTicket(msgspec.Struct, frozen=True, omit_defaults=True):
    """How to upload: `method` to `url`, as multipart/form-data with `fields` before the `file`, or with `headers`."""

    id: str
    url: str
    method: str
    key: str
    expires: str
    """ISO 8601; the upload must have begun until then."""
    fields: dict[str, str] = {}
    headers: dict[str, str] = {}


class PendingResult(msgspec.Struct, frozen=True):
    id: str
    status: str = "waiting"


class FailedResult(msgspec.Struct, frozen=True):
    """Why an upload has no result; lies beside where the result would."""

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
        """Below HEARTH_UPLOADS, for the tenant who asks now."""
        tenant = api_keys.current_tenant()
        owner = f"{tenant}/" if tenant else ""
        return f"{PREFIXES[self.kind]}{self.model}/{owner}{self.kind}{self.digits}"


def parse_id(upload_id: str) -> Upload:
    """The upload that an id names, which may not exist. Raises NotFound, OutOfScope."""
    match = _ID.fullmatch(upload_id)
    if match is None:
        raise NotFound("There is no such upload: an id is what POST /uploads gave")
    api_keys.authorize(match["model"])
    return Upload(match["kind"], match["digits"], match["model"])


def upload_store() -> Store:
    """Where objects are put. Raises NotFound where uploads are not offered."""
    uri = settings.get().uploads
    if not uri:
        raise NotFound("Uploads are not offered here: HEARTH_UPLOADS says where they would lie")
    return open_store(uri)


def source_store(bucket: str) -> Store:
    """Where a storage event's object lies: in its bucket, or in the local server's folder."""
    uri = settings.get().uploads
    return open_store(uri if uri.startswith("file:") else f"s3://{bucket}")


def input_of_key(key: str) -> tuple[str, str] | None:
    """The model that an object is for, and the task that is asked of it if it shares the model; None: no input."""
    prefixes = {PREFIXES[kind]: task for task, (kind, _) in SHARED_TASKS.items()} | {settings.get().upload_prefix: ""}
    for prefix, task in prefixes.items():
        model, _, rest = key.removeprefix(prefix).partition("/")
        if key.startswith(prefix) and rest:
            return model, task
    return None


def tenant_of_key(key: str) -> str:
    """The tenant for whom a key was chosen here; empty: the tenant is not known, or the key was not chosen here."""
    match = _OUR_KEY.search(key)
    return (match["tenant"] or "") if match else ""


def is_ours(key: str) -> bool:
    """Whether a key was chosen here, so that somebody has its id and may ask for the result."""
    return _OUR_KEY.search(key) is not None


def check_size(size: int) -> None:
    """Raises PayloadTooLarge for an object of so many bytes."""
    if size > MAX_BYTES:
        raise PayloadTooLarge(f"The object has {size} bytes; {MAX_BYTES} are allowed")


def create_upload(body: bytes) -> UploadTicket:
    """Permission to upload what `body` describes.

    Raises BadRequest, NotFound, Forbidden, PayloadTooLarge, StoreError.
    """
    document, target = strict_json.convert(strict_json.loads(body), UploadRequest), upload_store()
    if "@" in document.model:
        raise BadRequest("An upload is for a model's name alone; its alias prod answers", param="model")
    kind, made_for = SHARED_TASKS.get(document.task, ("u", document.task))
    task = warm_cache().resolve(document.model).manifest.task
    if made_for not in ("", task):
        raise BadRequest(f"{document.model} answers {task}, not {document.task[:40]!r}", param="task")
    if document.size > MAX_BYTES:
        raise PayloadTooLarge(f"An upload has at most {MAX_BYTES} bytes")
    upload = Upload(kind, secrets.token_hex(16), document.model)
    if target.uri.startswith("file:"):
        path, expires = presign.signed_path(upload.id, upload.key, document.content_type, document.size)
        headers = {"Content-Type": document.content_type}
        return UploadTicket(upload.id, path, "PUT", upload.key, presign.isoformat(expires), headers=headers)
    bucket = Bucket(urlsplit(target.uri).netloc)
    fields, expires = presign.presigned_post(bucket, upload.key, document.content_type, document.size)
    return UploadTicket(upload.id, bucket.url, "POST", upload.key, presign.isoformat(expires), fields)


def get_result(upload_id: str) -> bytes | None:
    """The result's document; None while there is none.

    Raises NotFound where nothing was uploaded, Unprocessable for what could not be answered, StoreError.
    """
    upload, source = parse_id(upload_id), upload_store()
    output = open_store(settings.get().output)
    try:
        return output.get(f"{upload.key}.json")
    except NotFound:
        pass
    if upload.key not in source.iter_paths(upload.key):
        raise NotFound("Nothing was uploaded under this id yet, or it has expired")
    try:
        failed = msgspec.json.decode(output.get(failure_path(upload.key)), type=FailedResult)
    except NotFound:
        return None
    raise Unprocessable(f"{failed.error_type}: {failed.reason}")


def failure_path(key: str) -> str:
    """Where it is written why an upload could not be answered."""
    return f"{key}.json.failed"


def delete(upload_id: str) -> None:
    """Delete an upload and its result in all their versions. Raises NotFound for what is no id, StoreError."""
    upload = parse_id(upload_id)
    upload_store().delete(upload.key)
    output, newest = open_store(settings.get().output), f"{upload.key}.json"
    for path in {newest, *output.iter_paths(newest)}:  # and those of the object's versions, which begin so
        output.delete(path)


def upload_reference(body: bytes) -> tuple[str, dict[str, Any]] | None:
    """The id, and the fields beside `inputs`, of a JSON body whose `inputs` name an upload; None for any other body."""
    if body.lstrip()[:1] != b"{":
        return None
    document = strict_json.loads(body)
    inputs = document.get("inputs")
    if not isinstance(inputs, dict) or inputs.keys() != {"upload"} or not isinstance(inputs["upload"], str):
        return None
    return inputs["upload"], {name: value for name, value in document.items() if name != "inputs"}


def read(upload_id: str, model: str) -> bytes:
    """The object that was uploaded for `model`. Raises BadRequest, NotFound, StoreError."""
    upload, source = parse_id(upload_id), upload_store()
    if model != upload.model:
        raise BadRequest(f"This upload is for {upload.model}", param="inputs.upload")
    try:
        return source.get(upload.key, limit=MAX_BYTES)
    except (NotFound, AccessDenied):  # a function may read its inputs, not list everybody's: S3 tells it no more
        raise NotFound("Nothing was uploaded under this id yet, or it has expired", param="inputs.upload") from None
