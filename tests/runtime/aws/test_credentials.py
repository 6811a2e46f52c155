"""Where credentials, regions and endpoints come from."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hearth.aws.credentials import (
    Credentials,
    domain,
    endpoint_override,
    find_credentials,
    forget_credentials,
    region,
)
from hearth.errors import StoreError


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


PROFILE = "[default]\naws_access_key_id = key\naws_secret_access_key = secret\naws_session_token = token\n"


def test_credentials_of_the_environment_come_first(no_credentials: Path) -> None:
    no_credentials.write_text(PROFILE)
    keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s"}
    assert find_credentials(keys) == Credentials("a", "s", None)
    assert find_credentials(keys | {"AWS_SESSION_TOKEN": "t"}) == Credentials("a", "s", "t")
    for name in keys:
        assert find_credentials({name: "half"}) == Credentials("key", "secret", "token")


def test_credentials_of_a_profile_are_kept_until_they_are_forgotten(no_credentials: Path) -> None:
    no_credentials.write_text(PROFILE)
    assert find_credentials({}) == Credentials("key", "secret", "token")
    no_credentials.write_text(PROFILE.replace("= key", "= another"))
    assert find_credentials({}).access_key == "key"
    forget_credentials()
    assert find_credentials({}).access_key == "another"


def test_no_credentials_are_a_store_error(no_credentials: Path) -> None:
    with pytest.raises(StoreError, match="neither in the environment nor by boto3"):
        find_credentials({})


def test_without_boto3_the_error_names_the_environment_variables(
    no_credentials: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(StoreError, match="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"):
        find_credentials({})


def test_the_region_is_lambdas_or_the_default_one() -> None:
    assert region({"AWS_REGION": "a", "AWS_DEFAULT_REGION": "b"}) == "a"
    assert region({"AWS_REGION": "", "AWS_DEFAULT_REGION": "b"}) == "b"
    assert region({}) == "us-east-1"


def test_a_services_own_endpoint_comes_before_the_general_one() -> None:
    assert endpoint_override("s3", {"AWS_ENDPOINT_URL": "x", "AWS_ENDPOINT_URL_S3": "y"}) == "y"
    assert endpoint_override("sqs", {"AWS_ENDPOINT_URL": "x", "AWS_ENDPOINT_URL_S3": "y"}) == "x"
    assert endpoint_override("s3", {}) is None


def test_chinas_regions_have_a_domain_of_their_own() -> None:
    assert domain("cn-north-1") == "amazonaws.com.cn"
    assert domain("eu-central-1") == "amazonaws.com"
