"""Large inputs: a client puts an object under a key that we choose, and asks for the result by its id.

An id is `<kind><32 hexadecimal digits>.<model>`: 128 random bits, which nobody guesses. Its object lies in
HEARTH_UPLOADS at `<prefix><model>/[<tenant>/]<kind><digits>`, its result where `events` writes it. The tenant is
the caller's own and stands in no id: for another tenant, the same id names an object that does not exist.
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
from hearth.models.cache import manifest_of
from hearth.storage.base import Refused, Store
from hearth.storage.open import open_store

MAX_BYTES = 64 * 1024 * 1024
"""Of an object."""
PREFIXES = {"u": "uploads/", "t": "tracks/"}
"""Where objects of a kind lie."""
SHARED = {"object-tracking": ("t", "object-detection")}
"""Tasks that answer by models of another: the kind of their objects, and that other task."""
_CHOSEN = re.compile(r"/(?:(?P<tenant>[0-9a-f]{16})/)?[ut][0-9a-f]{32}(?!\n)$")
"""How a key ends that was chosen here."""
_ID = re.compile(r"(?P<kind>[ut])(?P<digits>[0-9a-f]{32})\.(?P<model>[a-z0-9][a-z0-9._-]{0,62})")


class Wish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be uploaded."""

    model: str
    """A name without version: `prod` answers."""
    content_type: Annotated[str, Meta(pattern=r"^[A-Za-z0-9!#$&^_.+-]{1,60}/[A-Za-z0-9!#$&^_.+-]{1,60}$(?!\n)")]
    size: Annotated[int, Meta(ge=1)]
    """Bytes; more are refused where they arrive."""
    task: str = ""
    """Where a model answers several: `object-tracking` of a video."""


class Ticket(msgspec.Struct, frozen=True, omit_defaults=True):
    """How to upload: `method` to `url`, as multipart/form-data with `fields` before the `file`, or with `headers`."""

    id: str
    url: str
    method: str
    key: str
    expires: str
    """ISO 8601; the upload must have begun until then."""
    fields: dict[str, str] = {}
    headers: dict[str, str] = {}


class Waiting(msgspec.Struct, frozen=True):
    id: str
    status: str = "waiting"


class Failure(msgspec.Struct, frozen=True):
    """Why an upload has no result: lies beside where that would."""

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
        tenant = api_keys.asking()
        owner = f"{tenant}/" if tenant else ""
        return f"{PREFIXES[self.kind]}{self.model}/{owner}{self.kind}{self.digits}"


def parse(name: str) -> Upload:
    """The upload that an id names, which may not exist. Raises NotFound, OutOfScope."""
    match = _ID.fullmatch(name)
    if match is None:
        raise NotFound("There is no such upload: an id is what POST /uploads gave")
    api_keys.permit(match["model"])
    return Upload(match["kind"], match["digits"], match["model"])


def store() -> Store:
    """Where objects are put. Raises NotFound where none may be."""
    where = settings.get().uploads
    if not where:
        raise NotFound("Uploads are not offered here: HEARTH_UPLOADS says where they would lie")
    return open_store(where)


def source(bucket: str) -> Store:
    """Where a storage event's object lies: in its bucket, or in the local server's folder."""
    where = settings.get().uploads
    return open_store(where if where.startswith("file:") else f"s3://{bucket}")


def place(key: str) -> tuple[str, str] | None:
    """The model for which an object is, and the task that is asked of it, if it shares the model; None: no input."""
    prefixes = {PREFIXES[kind]: task for task, (kind, _) in SHARED.items()} | {settings.get().upload_prefix: ""}
    for prefix, task in prefixes.items():
        model, _, rest = key.removeprefix(prefix).partition("/")
        if key.startswith(prefix) and rest:
            return model, task
    return None


def owner(key: str) -> str:
    """The tenant for whom a key was chosen; empty: nobody said who asked, or the key was not chosen here."""
    match = _CHOSEN.search(key)
    return (match["tenant"] or "") if match else ""


def chosen(key: str) -> bool:
    """Whether a key was chosen here, so that somebody has its id and may ask for the result."""
    return _CHOSEN.search(key) is not None


def check_size(size: int) -> None:
    """Raises PayloadTooLarge for an object of so many bytes."""
    if size > MAX_BYTES:
        raise PayloadTooLarge(f"The object has {size} bytes; {MAX_BYTES} are allowed")


def admit(body: bytes) -> Ticket:
    """Leave to upload what `body` wishes. Raises BadRequest, NotFound, Forbidden, PayloadTooLarge, StoreError."""
    wish, target = strict_json.convert(strict_json.loads(body), Wish), store()
    if "@" in wish.model:
        raise BadRequest("An upload is for a model's name alone; its alias prod answers", param="model")
    kind, made_for = SHARED.get(wish.task, ("u", wish.task))
    task = manifest_of(wish.model).task
    if made_for not in ("", task):
        raise BadRequest(f"{wish.model} answers {task}, not {wish.task[:40]!r}", param="task")
    if wish.size > MAX_BYTES:
        raise PayloadTooLarge(f"An upload has at most {MAX_BYTES} bytes")
    upload = Upload(kind, secrets.token_hex(16), wish.model)
    if target.uri.startswith("file:"):
        address, expires = presign.path(upload.id, upload.key, wish.content_type, wish.size)
        headers = {"Content-Type": wish.content_type}
        return Ticket(upload.id, address, "PUT", upload.key, presign.told(expires), headers=headers)
    bucket = Bucket(urlsplit(target.uri).netloc)
    fields, expires = presign.form(bucket, upload.key, wish.content_type, wish.size)
    return Ticket(upload.id, bucket.url, "POST", upload.key, presign.told(expires), fields)


def result(name: str) -> bytes | None:
    """The result's document; None while there is none.

    Raises NotFound where nothing was uploaded, Unprocessable for what could not be answered, StoreError.
    """
    upload, source = parse(name), store()
    output = open_store(settings.get().output)
    try:
        return output.get(f"{upload.key}.json")
    except NotFound:
        pass
    if upload.key not in source.each(upload.key):
        raise NotFound("Nothing was uploaded under this id yet, or it has expired")
    try:
        failure = msgspec.json.decode(output.get(failed(upload.key)), type=Failure)
    except NotFound:
        return None
    raise Unprocessable(f"{failure.error_type}: {failure.reason}")


def failed(key: str) -> str:
    """Where it is written why an upload could not be answered."""
    return f"{key}.json.failed"


def delete(name: str) -> None:
    """Remove an upload and its result in all their versions. Raises NotFound for what is no id, StoreError."""
    upload = parse(name)
    store().delete(upload.key)
    output, newest = open_store(settings.get().output), f"{upload.key}.json"
    for path in {newest, *output.each(newest)}:  # and those of the object's versions, which begin so
        output.delete(path)


def named(body: bytes) -> tuple[str, dict[str, Any]] | None:
    """The id, and all beside `inputs`, of a JSON body whose `inputs` name an upload; None for every other body."""
    if b'"upload"' not in body or body.lstrip()[:1] != b"{":
        return None
    document = strict_json.loads(body)
    inputs = document.get("inputs")
    if not isinstance(inputs, dict) or inputs.keys() != {"upload"} or not isinstance(inputs["upload"], str):
        return None
    return inputs["upload"], {name: value for name, value in document.items() if name != "inputs"}


def read(name: str, model: str) -> bytes:
    """The object that was uploaded for `model`, which may be asked for by version or alias.

    Raises BadRequest, NotFound, StoreError.
    """
    upload, source = parse(name), store()
    if model.partition("@")[0] != upload.model:
        raise BadRequest(f"This upload is for {upload.model}", param="inputs.upload")
    try:
        return source.get(upload.key, limit=MAX_BYTES)
    except (NotFound, Refused):  # a function may read its inputs, not list everybody's: S3 tells it no more
        raise NotFound("Nothing was uploaded under this id yet, or it has expired", param="inputs.upload") from None
