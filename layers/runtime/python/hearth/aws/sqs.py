"""SQS messages, by signed requests in its JSON protocol."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from hearth.aws.client import Endpoint
from hearth.aws.credentials import endpoint_override
from hearth.aws.retry import RETRYABLE_STATUSES, TransientError, retry
from hearth.errors import StoreError


def send_message(queue: str, body: str, attributes: Mapping[str, str]) -> None:
    """Send a message to the queue with this URL, possibly twice if an acknowledgement is lost. Raises StoreError.

    The values of `attributes` must not be empty or have characters that `replace_refused_characters` would replace.
    """
    values = {name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()}
    _call(queue, "SendMessage", {"MessageBody": body, "MessageAttributes": values})


def delete_message(queue: str, receipt: str) -> None:
    """Delete the message that was received with this receipt handle. Raises StoreError."""
    _call(queue, "DeleteMessage", {"ReceiptHandle": receipt})


def change_visibility(queue: str, receipt: str, seconds: int) -> None:
    """Let the queue deliver the message that was received with this handle again after `seconds`. Raises StoreError."""
    _call(queue, "ChangeMessageVisibility", {"ReceiptHandle": receipt, "VisibilityTimeout": seconds})


def replace_refused_characters(text: str) -> str:
    """`text` with a question mark in place of each character that SQS refuses."""
    return "".join(
        character if character in "\t\n\r" or any(a <= character <= b for a, b in _ALLOWED_RANGES) else "?"
        for character in text
    )


_ALLOWED_RANGES = ((" ", "\ud7ff"), ("\ue000", "\ufffd"), ("\U00010000", "\U0010ffff"))


def _call(queue: str, action: str, values: dict[str, Any]) -> None:
    headers = {"content-type": "application/x-amz-json-1.0", "x-amz-target": f"AmazonSQS.{action}"}
    body = json.dumps({"QueueUrl": queue, **values}).encode()

    def attempt() -> None:
        response = _endpoint(queue).send("POST", "/", headers=headers, body=body)
        content = response.read()
        if response.status == 200:
            return
        reason = f"the queue returned {response.status} for {action}"
        if response.status in RETRYABLE_STATUSES or b"hrottl" in content:
            raise TransientError(reason)
        raise StoreError(f"{reason}: check the role's permissions and the queue's URL")

    retry(attempt, None)


@functools.cache
def _endpoint(queue: str) -> Endpoint:
    url = urlsplit(queue)
    return Endpoint(endpoint_override("sqs") or f"{url.scheme}://{url.netloc}", "sqs")
