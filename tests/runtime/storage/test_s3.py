"""A store in S3: the contract on moto and on a local AWS that checks TLS and signatures, and responses of errors."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest

from hearth.aws import retry
from hearth.errors import HearthError, NotFound, StoreError
from hearth.models.download import upload
from hearth.storage import s3
from hearth.storage.base import AccessDenied, Conflict, Store
from hearth.storage.s3 import S3Store
from tests.runtime.storage.contract import StoreContract
from tests.support.s3 import CREDENTIALS, client, folder_s3, moto_s3
from tests.support.servers import scripted_server
from tests.template.local_stack import KEYS, Aws


@pytest.fixture(scope="module")
def s3_url() -> Iterator[str]:
    with moto_s3() as url:
        client(url).create_bucket(Bucket="artifacts")
        yield url


@pytest.fixture(scope="session")
def bucket_of_aws(aws: Aws) -> Aws:
    aws.client("s3").create_bucket(Bucket="artifacts")
    return aws


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for key, value in CREDENTIALS.items():
        monkeypatch.setenv(key, value)
    return monkeypatch


@pytest.fixture(params=["moto", pytest.param("ministack", marks=pytest.mark.slow)])
def store(request: pytest.FixtureRequest, credentials: pytest.MonkeyPatch, tmp_path: Path) -> S3Store:
    if request.param == "moto":
        url = request.getfixturevalue("s3_url")
    else:
        aws = request.getfixturevalue("bucket_of_aws")
        url = aws.url
        credentials.setenv("AWS_ACCESS_KEY_ID", KEYS["aws_access_key_id"])
        credentials.setenv("AWS_SECRET_ACCESS_KEY", KEYS["aws_secret_access_key"])
        credentials.setenv("SSL_CERT_FILE", str(aws.certificate))
    credentials.setenv("AWS_ENDPOINT_URL_S3", url)
    return S3Store(f"s3://artifacts/{tmp_path.name}")


class TestS3Store(StoreContract):
    """The contract."""


def enable_versioning() -> Any:
    """Enable versioning of the store's bucket; return a client of it."""
    s3 = boto3.Session().client(
        "s3",
        endpoint_url=os.environ["AWS_ENDPOINT_URL_S3"],
        verify=os.environ.get("SSL_CERT_FILE"),
        region_name="us-east-1",
    )
    s3.put_bucket_versioning(Bucket="artifacts", VersioningConfiguration={"Status": "Enabled"})
    return s3


def test_a_listing_reads_all_pages(store: S3Store, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [f"many/{number:02}" for number in range(12)]
    for path in paths:
        store.put(path, b"")
    request = store.bucket.request
    pages = []

    def request_small_page(method: str, key: str, **options: Any) -> Any:
        pages.append(key)
        return request(method, key, **options | {"query": options["query"] | {"max-keys": "5"}})

    monkeypatch.setattr(store.bucket, "request", request_small_page)
    assert store.list("many/") == paths
    assert len(pages) == 3


def test_an_object_is_deleted_in_all_its_versions(store: S3Store) -> None:
    s3 = enable_versioning()
    for data in (b"1", b"2"):
        store.put("d/x", data)
    s3.delete_object(Bucket="artifacts", Key=f"{store.prefix}/d/x")  # leaves a delete marker
    store.put("d/x", b"3")
    store.put("d/xy", b"neighbour")
    store.delete("d/x")
    remaining = s3.list_object_versions(Bucket="artifacts", Prefix=store.prefix)
    assert [version["Key"] for version in remaining["Versions"]] == [f"{store.prefix}/d/xy"]
    assert not remaining.get("DeleteMarkers")


def test_a_version_of_an_object_is_read(store: S3Store) -> None:
    s3 = enable_versioning()
    for data in (b"1", b"2"):
        store.put("v", data)
    versions = s3.list_object_versions(Bucket="artifacts", Prefix=f"{store.prefix}/v")["Versions"]
    (first,) = (version["VersionId"] for version in versions if not version["IsLatest"])
    assert store.get_with_etag("v", version=first)[0] == b"1"
    assert store.get("v") == b"2"


def test_a_store_without_a_prefix_has_the_buckets_keys(s3_url: str, credentials: pytest.MonkeyPatch) -> None:
    credentials.setenv("AWS_ENDPOINT_URL_S3", s3_url)
    client(s3_url).create_bucket(Bucket="whole")
    store = S3Store("s3://whole")
    store.put("a/b", b"x")
    assert store.list() == ["a/b"]
    assert client(s3_url).get_object(Bucket="whole", Key="a/b")["Body"].read() == b"x"


def test_an_unreachable_server_is_a_store_error(credentials: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with folder_s3(tmp_path) as server:
        credentials.setenv("AWS_ENDPOINT_URL_S3", server.url)
    with pytest.raises(StoreError, match="did not respond"):
        S3Store("s3://artifacts/x").get("m/1/manifest.json", deadline=time.monotonic() + 1)


def response(status: int, body: bytes = b"", *headers: str) -> list[bytes]:
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", "Connection: close", *headers, "", ""]
    return ["\r\n".join(lines).encode() + body]


def error(code: str) -> bytes:
    return f"<Error><Code>{code}</Code><Message>m</Message></Error>".encode()


Scripted = Callable[..., AbstractContextManager[tuple[S3Store, list[bytes]]]]


@pytest.fixture
def scripted(credentials: pytest.MonkeyPatch) -> Scripted:
    """A store whose server gives these responses, one a connection; and the requests that it received."""

    @contextmanager
    def scripted(*responses: Sequence[bytes]) -> Iterator[tuple[S3Store, list[bytes]]]:
        with scripted_server(*responses) as (address, received):
            credentials.setenv("AWS_ENDPOINT_URL_S3", address)
            yield S3Store("s3://bucket/models/"), received

    return scripted


@pytest.mark.parametrize(
    ("status", "body", "kind", "message"),
    [
        (404, error("NoSuchKey"), NotFound, "m is not in the store"),
        (404, error("NoSuchBucket"), StoreError, "returned 404 NoSuchBucket for m"),
        (409, error("ConditionalRequestConflict"), Conflict, "m is in the store already, or was changed"),
        (412, error("PreconditionFailed"), Conflict, "m is in the store already, or was changed"),
        (403, error("AccessDenied"), AccessDenied, "refused m: check the role's permissions and that the object"),
        (403, error("KMS.DisabledException"), StoreError, r"\(KMS.DisabledException\): check .* for the bucket's key"),
        (400, error("InvalidRequest"), StoreError, "returned 400 InvalidRequest for m"),
        (301, b"", StoreError, "returned 301  for m"),
    ],
)
def test_a_refusal_is_an_error_that_says_why(
    scripted: Scripted, status: int, body: bytes, kind: type[HearthError], message: str
) -> None:
    """At the first attempt: the scripted server would not accept another."""
    with scripted(response(status, body)) as (store, received), pytest.raises(kind, match=message) as raised:
        store.get("m")
    assert type(raised.value) is kind
    assert len(received) == 1


@pytest.mark.parametrize(
    ("status", "body"),
    [(500, b""), (502, b""), (503, error("SlowDown")), (504, b""), (429, b""), (400, error("Throttled"))],
)
def test_a_transient_refusal_is_tried_again(scripted: Scripted, status: int, body: bytes) -> None:
    with scripted(response(status, body), response(200, b"1", 'ETag: "t"')) as (store, received):
        assert store.get_with_etag("m") == (b"1", '"t"')
    assert len(received) == 2


def test_a_transient_refusal_that_lasts_is_a_store_error(scripted: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "ATTEMPTS", 2)
    with scripted(*[response(503)] * 2) as (store, _), pytest.raises(StoreError, match="returned 503 for m"):
        store.get("m")


def test_writes_and_deletions_are_tried_again_and_send_their_conditions(scripted: Scripted) -> None:
    with scripted(response(503), response(200, b"", 'ETag: "t"')) as (store, received):
        assert store.put("a", b"data", if_absent=True) == '"t"'
    assert [b"if-none-match: *" in request and request.endswith(b"data") for request in received] == [True, True]
    assert received[0].startswith(b"PUT /bucket/models/a HTTP/1.1\r\n")
    with scripted(response(200)) as (store, received):
        assert store.put("a", b"", if_match='"t"') == ""
    assert b'if-match: "t"' in received[0]
    assert b"if-none-match" not in received[0]
    with scripted(response(200)) as (store, received):
        store.put("a", b"")
    assert b"match" not in received[0]
    page = b"<R><Version><Key>models/a</Key><VersionId>7</VersionId></Version></R>"
    with scripted(response(200, page), response(503), response(204)) as (store, received):
        store.delete("a")
    assert [request.split(b" HTTP")[0] for request in received] == [
        b"GET /bucket/?prefix=models%2Fa&versions=",
        *[b"DELETE /bucket/models/a?versionId=7"] * 2,
    ]


def test_a_long_file_is_sent_in_parts(store: S3Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(s3, "PART_BYTES", 5 << 20)
    (source := tmp_path / "weights.bin").write_bytes(data := random.Random(0).randbytes((5 << 20) * 2 + 7))
    assert upload(store, "m/1/weights.bin", source) == store.get_with_etag("m/1/weights.bin")[1]
    assert store.get("m/1/weights.bin") == data
    with store.open("m/1/weights.bin", (5 << 20) - 2, 4, len(data)) as part:
        part.readinto(memoryview(buffer := bytearray(4)))
    assert buffer == data[(5 << 20) - 2 : (5 << 20) + 2]


CREATED = response(200, b"<R><UploadId>u1</UploadId></R>")


def test_parts_are_tried_again_and_conditions_sent_at_the_end(
    scripted: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "PART_BYTES", 4)
    parts = [response(200, b"", 'ETag: "1"'), response(503), response(200, b"", 'ETag: "2"')]
    unfinished = response(200, b'<?xml version="1.0"?>' + error("InternalError"))
    done = response(200, b"<R><ETag>&quot;whole&quot;</ETag></R>")
    with scripted(CREATED, *parts, unfinished, done) as (store, received):
        assert store.put("a", b"123456", if_absent=True) == '"whole"'
    assert [request.split(b" HTTP")[0] for request in received] == [
        b"POST /bucket/models/a?uploads=",
        b"PUT /bucket/models/a?partNumber=1&uploadId=u1",
        *[b"PUT /bucket/models/a?partNumber=2&uploadId=u1"] * 2,
        *[b"POST /bucket/models/a?uploadId=u1"] * 2,
    ]
    assert [request.count(b"if-none-match: *") for request in received] == [0, 0, 0, 0, 1, 1]
    assert received[-1].endswith(
        b'<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>"1"</ETag></Part>'
        b'<Part><PartNumber>2</PartNumber><ETag>"2"</ETag></Part></CompleteMultipartUpload>'
    )


@pytest.mark.parametrize("abort", [response(204), response(403), [b""]])
def test_what_cannot_be_completed_is_aborted(
    scripted: Scripted, monkeypatch: pytest.MonkeyPatch, abort: list[bytes]
) -> None:
    monkeypatch.setattr(s3, "PART_BYTES", 4)
    sent = [CREATED, *[response(200, b"", 'ETag: "1"')] * 2, response(412, error("PreconditionFailed"))]
    with scripted(*sent, abort) as (store, received), pytest.raises(Conflict, match="a is in the store already"):
        store.put("a", b"123456", if_absent=True)
    assert received[-1].startswith(b"DELETE /bucket/models/a?uploadId=u1 HTTP")


def test_a_deletion_reads_the_pages_with_its_key(scripted: Scripted) -> None:
    def page(version: str, next_key: str, next_version: str = "") -> list[bytes]:
        marker = f"<NextKeyMarker>{next_key}</NextKeyMarker>"
        marker += f"<NextVersionIdMarker>{next_version}</NextVersionIdMarker>" if next_version else ""
        version = f"<Version><Key>models/a</Key><VersionId>{version}</VersionId></Version>"
        other = "<DeleteMarker><Key>models/ab</Key><VersionId>9</VersionId></DeleteMarker>"
        return response(200, f"<R xmlns='http://x'>{version}{other}{marker}</R>".encode())

    deleted = response(204)
    with scripted(page("1", "models/a", "1"), deleted, page("2", "models/ab"), deleted) as (store, received):
        store.delete("a")
    assert [request.split(b" HTTP")[0] for request in received] == [
        b"GET /bucket/?prefix=models%2Fa&versions=",
        b"DELETE /bucket/models/a?versionId=1",
        b"GET /bucket/?key-marker=models%2Fa&prefix=models%2Fa&version-id-marker=1&versions=",
        b"DELETE /bucket/models/a?versionId=2",
    ]


def test_a_refused_deletion_or_listing_is_an_error(scripted: Scripted) -> None:
    page = b"<R><Version><Key>models/a</Key></Version></R>"
    with scripted(response(200, page), response(403)) as (store, _), pytest.raises(AccessDenied, match="models/a"):
        store.delete("a")
    with scripted(response(403)) as (store, _), pytest.raises(AccessDenied, match="the listing"):
        store.list()


def test_a_body_of_unknown_length_is_not_read_beyond_a_limit(scripted: Scripted) -> None:
    endless = [b"HTTP/1.1 200 OK\r\n\r\n", b"12345"]
    with scripted(endless) as (store, _), pytest.raises(StoreError, match="m has more than the 5 bytes"):
        store.get("m", limit=5)
    with scripted(endless) as (store, _):
        assert store.get("m") == b"12345"
    with scripted(response(404, error("NoSuchKey"))) as (store, _), pytest.raises(NotFound):
        store.get("m", limit=5)  # the limit is not of the error's document


@pytest.mark.parametrize("total", ["5", "*", ""])
def test_a_range_that_is_refused_or_of_another_object_is_an_error(scripted: Scripted, total: str) -> None:
    header = [f"Content-Range: bytes 1-2/{total}"] if total else []
    with scripted(response(206, b"23", *header)) as (store, received), store.open("a", 1, 2, 5) as source:
        buffer = memoryview(bytearray(2))
        assert source.readinto(buffer) == 2
        assert bytes(buffer) == b"23"
    assert b"range: bytes=1-2\r\n" in received[0]
    with scripted(response(416, error("InvalidRange"))) as (store, _), pytest.raises(StoreError, match="416"):  # noqa: SIM117
        with store.open("a", 1, 2, 5):
            pass


def test_a_connection_with_unread_bytes_is_not_used_again(scripted: Scripted) -> None:
    kept = b"HTTP/1.1 206 X\r\nContent-Length: 2\r\n\r\n23"
    with scripted([kept], response(200, b"whole")) as (store, _):
        with store.open("a", 1, 2, 5):
            pass  # the body is not read
        assert store.get("a") == b"whole"


def test_the_type_of_a_store_is_that_of_the_interface(credentials: pytest.MonkeyPatch) -> None:
    store: Store = S3Store("s3://bucket/a/b/")
    assert (store.uri, S3Store("s3://bucket").prefix) == ("s3://bucket/a/b", "")
