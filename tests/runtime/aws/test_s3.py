"""The address of a bucket, and how keys and queries are encoded."""

from __future__ import annotations

from typing import Any

import pytest

from hearth.aws.s3 import Bucket


@pytest.mark.parametrize(
    ("name", "region", "url"),
    [
        ("models", "eu-west-1", "https://models.s3.eu-west-1.amazonaws.com/"),
        ("models", "cn-north-1", "https://models.s3.cn-north-1.amazonaws.com.cn/"),
        ("a.b", "eu-west-1", "https://s3.eu-west-1.amazonaws.com/a.b/"),
    ],
)
def test_a_bucket_has_its_regions_address(name: str, region: str, url: str) -> None:
    assert Bucket(name, {"AWS_REGION": region}).url == url


def test_a_custom_endpoint_has_the_bucket_in_the_path() -> None:
    assert Bucket("models", {"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9"}).url == "http://127.0.0.1:9/models/"


@pytest.mark.parametrize(("endpoint", "base"), [("http://127.0.0.1:9", "/models"), ("", "")])
def test_keys_and_queries_are_encoded_as_signatures_need_it(
    endpoint: str, base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = Bucket("models", {"AWS_ENDPOINT_URL": endpoint, "AWS_REGION": "eu-west-1"})
    sent: list[Any] = []
    monkeypatch.setattr(bucket, "send", lambda *arguments: sent.append(arguments))
    bucket.request("GET", "a b/ü+~.txt", query={"versions": "", "prefix": "a/b ~"}, headers={"x": "y"})
    bucket.request("PUT", "", body=b"data")
    assert sent == [
        ("GET", f"{base}/a%20b/%C3%BC%2B~.txt", "prefix=a%2Fb%20~&versions=", {"x": "y"}, b""),
        ("PUT", f"{base}/", "", None, b"data"),
    ]
