"""Signed requests that only test whether they are allowed; boto3 would take most of the matrix's time."""

from __future__ import annotations

import http.client
import json
import ssl
import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from urllib.parse import urlencode, urlsplit

from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as Keys

REFUSED = ("AccessDenied", "AccessDeniedException", "KMS.AccessDeniedException")


@dataclass(frozen=True)
class Credentials:
    access: str
    secret: str
    token: str


class Prober:
    """One connection per thread. Each method returns whether the action was allowed, or raises RuntimeError if
    unclear."""

    def __init__(self, url: str, certificate: Path) -> None:
        self.url = url
        self.tls = ssl.create_default_context(cafile=str(certificate))
        self.local = threading.local()
        self.connections: list[http.client.HTTPSConnection] = []

    def __enter__(self) -> Prober:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for connection in self.connections:
            connection.close()

    def s3(self, credentials: Credentials, action: str, bucket: str, key: str) -> bool:
        """What is got or deleted does not exist, except for the catalogue. A put has a wrong digest."""
        headers: dict[str, str] = {}
        path = f"/{bucket}/{key}"
        if action == "list":
            path = f"/{bucket}?{urlencode({'list-type': 2, 'prefix': key, 'max-keys': 1})}"
        elif action == "put":
            headers["content-md5"] = "AAAAAAAAAAAAAAAAAAAAAA=="
        elif action == "delete version":
            path += "?versionId=null"
        method, allowed = {
            "get": ("GET", (200, 404)),
            "list": ("GET", (200,)),
            "put": ("PUT", (400,)),
            "delete": ("DELETE", (204,)),
            "delete version": ("DELETE", (204,)),
        }[action]
        return self._is_allowed(credentials, "s3", method, path, b"x" if action == "put" else b"", headers, allowed)

    def sqs(self, credentials: Credentials, action: str, queue: str) -> bool:
        """The requests have an invalid count, delay or receipt handle."""
        operation, values = {
            "receive": ("ReceiveMessage", {"MaxNumberOfMessages": 11}),
            "send": ("SendMessage", {"MessageBody": "x", "DelaySeconds": 901}),
            "delete": ("DeleteMessage", {"ReceiptHandle": "nobody's"}),
        }[action]
        return self._json(credentials, "sqs", f"AmazonSQS.{operation}", {"QueueUrl": queue, **values}, (400, 404, 200))

    def kms(self, credentials: Credentials, action: str, key: str, secret: str) -> bool:
        operation, values = {
            "decrypt": ("Decrypt", {"CiphertextBlob": secret, "KeyId": key}),
            "data key": ("GenerateDataKey", {"KeyId": key, "KeySpec": "AES_256"}),
        }[action]
        return self._json(credentials, "kms", f"TrentService.{operation}", values, (200,))

    def _json(
        self, credentials: Credentials, service: str, target: str, values: dict[str, object], allowed: tuple[int, ...]
    ) -> bool:
        version = "1.0" if service == "sqs" else "1.1"
        headers = {"content-type": f"application/x-amz-json-{version}", "x-amz-target": target}
        return self._is_allowed(credentials, service, "POST", "/", json.dumps(values).encode(), headers, allowed)

    def _is_allowed(
        self,
        credentials: Credentials,
        service: str,
        method: str,
        path: str,
        body: bytes,
        headers: dict[str, str],
        allowed: tuple[int, ...],
    ) -> bool:
        request = AWSRequest(method, self.url + path, headers, body)
        signer = S3SigV4Auth if service == "s3" else SigV4Auth
        signer(Keys(credentials.access, credentials.secret, credentials.token), service, "us-east-1").add_auth(request)
        connection = self._connection()
        connection.request(method, path, body, dict(request.headers.items()))
        response = connection.getresponse()
        text = response.read().decode()
        if any(f">{code}<" in text or f'{code}"' in text for code in REFUSED):
            return False
        if response.status not in allowed or "Signature" in text:
            raise RuntimeError(
                f"{service} {method} {path} returned {response.status}, which is neither allowed nor denied: {text}"
            )
        return True

    def _connection(self) -> http.client.HTTPSConnection:
        if not hasattr(self.local, "connection"):
            address = urlsplit(self.url)
            self.local.connection = http.client.HTTPSConnection(
                str(address.hostname), address.port, timeout=60, context=self.tls
            )
            self.connections.append(self.local.connection)
        return self.local.connection
