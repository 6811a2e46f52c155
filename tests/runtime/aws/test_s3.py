"""The address and the credentials of the store's requests."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hearth.aws.credentials import Credentials, find_credentials, forget_credentials
from hearth.aws.s3 import Bucket
from hearth.errors import StoreError


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


@pytest.fixture
def no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A machine without credentials; return the path of its missing credentials file."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    forget_credentials()
    yield tmp_path / "credentials"
    forget_credentials()


def test_credentials_of_a_profile_are_read(no_credentials: Path) -> None:
    no_credentials.write_text(
        "[default]\naws_access_key_id = key\naws_secret_access_key = secret\naws_session_token = token\n"
    )
    assert find_credentials({}) == Credentials("key", "secret", "token")


def test_no_credentials_are_a_store_error(no_credentials: Path) -> None:
    with pytest.raises(StoreError, match="neither in the environment nor by boto3"):
        find_credentials({})


def test_without_boto3_the_error_names_the_environment_variables(
    no_credentials: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(StoreError, match="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"):
        find_credentials({})
