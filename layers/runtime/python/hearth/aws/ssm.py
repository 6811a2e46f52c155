"""Parameters of Systems Manager's Parameter Store, by signed requests in its JSON protocol."""

from __future__ import annotations

import functools
import json

from hearth.aws.client import Endpoint
from hearth.aws.credentials import domain, endpoint_override, region
from hearth.aws.retry import RETRYABLE_STATUSES, TransientError, retry
from hearth.errors import StoreError

TARGET = "AmazonSSM.GetParameter"


def get_parameter(name: str) -> str:
    """The value of a parameter, decrypted. Raises StoreError."""
    headers = {"content-type": "application/x-amz-json-1.1", "x-amz-target": TARGET}
    body = json.dumps({"Name": name, "WithDecryption": True}).encode()

    def attempt() -> str:
        response = _endpoint().send("POST", "/", headers=headers, body=body)
        content = response.read()
        if response.status == 200:
            return str(json.loads(content)["Parameter"]["Value"])
        reason = f"Parameter Store returned {response.status} for the parameter {name}"
        if response.status in RETRYABLE_STATUSES or b"hrottl" in content:
            raise TransientError(reason)
        raise StoreError(f"{reason}: check that it exists and that the role may read it")

    return retry(attempt, None)


@functools.cache
def _endpoint() -> Endpoint:
    return Endpoint(endpoint_override("ssm") or f"https://ssm.{region()}.{domain(region())}", "ssm")
