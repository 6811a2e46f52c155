"""EventBridge's events, by signed requests in its JSON protocol."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from typing import Any

from hearth.aws.client import Endpoint
from hearth.aws.credentials import domain, endpoint_override, region
from hearth.aws.retry import RETRYABLE_STATUSES, TransientError, retry
from hearth.errors import StoreError

TARGET = "AWSEvents.PutEvents"


def put_event(bus: str, source: str, detail_type: str, detail: Mapping[str, Any]) -> None:
    """Put an event on a bus, possibly twice if an acknowledgement is lost. Raises StoreError."""
    entry = {"EventBusName": bus, "Source": source, "DetailType": detail_type, "Detail": json.dumps(detail)}
    headers = {"content-type": "application/x-amz-json-1.1", "x-amz-target": TARGET}
    body = json.dumps({"Entries": [entry]}).encode()

    def attempt() -> None:
        response = _endpoint().send("POST", "/", headers=headers, body=body)
        content = response.read()
        if response.status == 200 and json.loads(content).get("FailedEntryCount") == 0:
            return
        reason = f"EventBridge returned {response.status} for {detail_type} on the bus {bus}"
        if response.status == 200 or response.status in RETRYABLE_STATUSES or b"hrottl" in content:
            raise TransientError(reason)
        raise StoreError(f"{reason}: check the role's permissions and the bus's name")

    retry(attempt, None)


@functools.cache
def _endpoint() -> Endpoint:
    return Endpoint(endpoint_override("events") or f"https://events.{region()}.{domain(region())}", "events")
