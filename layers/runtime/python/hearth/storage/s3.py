"""Objects in an S3 bucket, below a prefix."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from hearth.aws.http1 import Body, Response
from hearth.aws.retry import RETRYABLE_STATUSES, TransientError, retry
from hearth.aws.s3 import Bucket
from hearth.errors import NotFound, StoreError
from hearth.storage.base import AccessDenied, Conflict, Readable, Store, check_size, too_long_message

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

PART_BYTES = 64 * 1024 * 1024
"""Longer bodies are sent in parts of this size, each with its own retries: S3 takes 5 GB in one request."""


class S3Store(Store):
    def __init__(self, uri: str) -> None:
        self.uri = uri.rstrip("/")
        bucket, _, prefix = uri.removeprefix("s3://").partition("/")  # a prefix may have `#` and `?`
        self.bucket = Bucket(bucket)
        self.prefix = prefix.strip("/")

    def _key(self, path: str) -> str:
        return f"{self.prefix}/{path}" if self.prefix else path

    def get_with_etag(
        self, path: str, *, deadline: float | None = None, limit: int | None = None, version: str = ""
    ) -> tuple[bytes, str]:
        def attempt() -> tuple[bytes, str]:
            response = self.bucket.request("GET", self._key(path), query={"versionId": version} if version else None)
            if limit is not None and (response.length is None or response.length > limit) and response.status == 200:
                self.bucket.drop()
                raise StoreError(too_long_message(path, limit))
            data = response.read()  # raises ProtocolError if the body is truncated
            self._check(response, path, data, expected=200)
            return data, response.headers.get("etag", "")

        return retry(attempt, deadline)

    @contextmanager
    def open(self, path: str, start: int, length: int, size: int) -> Iterator[Readable]:
        response = self.bucket.request("GET", self._key(path), headers={"range": f"bytes={start}-{start + length - 1}"})
        try:
            if response.status != 206:
                self._check(response, path, response.read(), expected=206)
            total = response.headers.get("content-range", "").rpartition("/")[2]
            check_size(path, int(total) if total.isdecimal() else size, size)
            yield response
        finally:
            if not response.ended:  # with unread bytes the connection cannot be reused
                self.bucket.drop()

    def put(self, path: str, data: Body, *, if_absent: bool = False, if_match: str | None = None) -> str:
        headers = {"if-none-match": "*"} if if_absent else {}
        if if_match is not None:
            headers["if-match"] = if_match
        if len(data) > PART_BYTES:
            return self._put_in_parts(path, data, headers)
        return self._write("PUT", path, data, headers=headers)[1]

    def _put_in_parts(self, path: str, data: Body, conditions: Mapping[str, str]) -> str:
        """A multipart upload; the object exists once the last request has succeeded. An interrupted one is aborted."""
        created, _ = self._write("POST", path, query={"uploads": ""})
        upload = {"uploadId": created.partition(b"<UploadId>")[2].partition(b"</UploadId>")[0].decode()}
        try:
            tags = []
            for number, start in enumerate(range(0, len(data), PART_BYTES), 1):
                part = data[start : start + PART_BYTES]
                tags.append(self._write("PUT", path, part, query={**upload, "partNumber": str(number)})[1])
            rows = (f"<Part><PartNumber>{i}</PartNumber><ETag>{tag}</ETag></Part>" for i, tag in enumerate(tags, 1))
            document = f"<CompleteMultipartUpload>{''.join(rows)}</CompleteMultipartUpload>".encode()
            body, _ = self._write("POST", path, document, query=upload, headers=conditions)
        except BaseException:
            with suppress(StoreError, OSError):  # the bucket's lifecycle removes what stays
                response = self.bucket.request("DELETE", self._key(path), query=upload)
                response.read()
            raise
        return body.partition(b"<ETag>")[2].partition(b"</ETag>")[0].decode().replace("&quot;", '"')

    def _write(
        self,
        method: str,
        path: str,
        data: Body = b"",
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[bytes, str]:
        """The response's body and entity tag. Raises Conflict, StoreError."""

        def attempt() -> tuple[bytes, str]:
            response = self.bucket.request(method, self._key(path), query=query, headers=headers, body=data)
            body = response.read()
            self._check(response, path, body, expected=200)
            if b"<Error>" in body[:200]:  # S3 begins to answer before it has put the parts together
                raise TransientError(f"the store could not complete {path}")
            return body, response.headers.get("etag", "")

        return retry(attempt, None)

    def iter_paths(self, prefix: str = "") -> Iterator[str]:
        query = {"list-type": "2", "prefix": self._key(prefix)}
        while True:
            tree = self._listing(query)
            for key in tree.iter("Key"):
                path = key.text or ""
                yield path.removeprefix(f"{self.prefix}/") if self.prefix else path
            token = tree.findtext("NextContinuationToken")
            if not token:
                return
            query["continuation-token"] = token

    def delete(self, path: str) -> None:
        key = self._key(path)
        query = {"versions": "", "prefix": key}
        while True:
            tree = self._listing(query)
            for element in [*tree.iter("Version"), *tree.iter("DeleteMarker")]:
                if element.findtext("Key") == key:
                    self._delete(key, element.findtext("VersionId") or "")
            markers = {name: tree.findtext(f"Next{name}") for name in ("KeyMarker", "VersionIdMarker")}
            if markers["KeyMarker"] != key:  # the following pages have other keys
                return
            query |= {"key-marker": key, "version-id-marker": markers["VersionIdMarker"] or ""}

    def _delete(self, key: str, version: str) -> None:
        def attempt() -> None:
            response = self.bucket.request("DELETE", key, query={"versionId": version})
            self._check(response, key, response.read(), expected=204)

        retry(attempt, None)

    def _listing(self, query: Mapping[str, str]) -> Element:
        """One page of a listing; element names without namespace."""
        from xml.etree import ElementTree  # few requests need it

        def attempt() -> bytes:
            response = self.bucket.request("GET", "", query=query)
            body = response.read()
            self._check(response, "the listing", body, expected=200)
            return body

        tree = ElementTree.fromstring(retry(attempt, None))  # noqa: S314 -- the response of our own store
        for element in tree.iter():
            element.tag = element.tag.rpartition("}")[2]
        return tree

    def _check(self, response: Response, path: str, body: bytes, *, expected: int) -> None:
        status = response.status
        if status == expected:
            return
        if status == 404 and b"NoSuchBucket" not in body:
            raise NotFound(f"{path} is not in the store")
        if status in (409, 412):
            raise Conflict(f"{path} is in the store already, or was changed by someone else")
        code = body.partition(b"<Code>")[2].partition(b"</Code>")[0].decode("ascii", "replace")
        if status in RETRYABLE_STATUSES or "Throttl" in code:
            raise TransientError(f"the store returned {status} for {path}")
        if status == 403 and code.startswith("KMS."):
            raise StoreError(f"the store refused {path} ({code}): check the role's permissions for the bucket's key")
        if status == 403:
            raise AccessDenied(f"the store refused {path}: check the role's permissions and that the object exists")
        raise StoreError(f"the store returned {status} {code} for {path}")
