"""AWS credentials, region and endpoints, from the environment."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from hearth.errors import StoreError


class Credentials(NamedTuple):
    access_key: str
    secret_key: str
    token: str | None


def find_credentials(environ: Mapping[str, str] = os.environ) -> Credentials:
    """Credentials from the environment, where Lambda sets them, or else from boto3 (profiles, SSO, roles)."""
    if "AWS_ACCESS_KEY_ID" in environ and "AWS_SECRET_ACCESS_KEY" in environ:
        return Credentials(
            environ["AWS_ACCESS_KEY_ID"], environ["AWS_SECRET_ACCESS_KEY"], environ.get("AWS_SESSION_TOKEN")
        )
    frozen = _session_credentials().get_frozen_credentials()
    return Credentials(frozen.access_key, frozen.secret_key, frozen.token)


def region(environ: Mapping[str, str] = os.environ) -> str:
    return environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or "us-east-1"


def endpoint_override(service: str, environ: Mapping[str, str] = os.environ) -> str | None:
    """A replacement for a service's endpoint, from the variables that AWS's SDKs read."""
    return environ.get(f"AWS_ENDPOINT_URL_{service.upper()}") or environ.get("AWS_ENDPOINT_URL")


def domain(region: str) -> str:
    """The domain of the services' host names in a region."""
    return "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"


@functools.cache
def _session_credentials() -> Any:
    # Only on a developer's machine or under SnapStart, never in a usual cold start.
    try:
        import boto3
    except ImportError:
        raise StoreError(
            "No AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or install boto3 to use profiles"
        ) from None
    session_credentials = boto3.Session().get_credentials()
    if session_credentials is None:
        raise StoreError("No AWS credentials were found, neither in the environment nor by boto3")
    return session_credentials


def forget_credentials() -> None:
    """Discard cached credentials that did not come from the environment."""
    _session_credentials.cache_clear()
