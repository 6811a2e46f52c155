"""Dead letters: messages that cannot be processed are sent to the dead-letter queue with the reason.

Without this SQS moves a message itself after `maxReceiveCount` deliveries, without a reason; it still does so if the
function crashes or cannot send the dead letter. A client that asks for the result of an upload gets the reason too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from hearth import settings
from hearth.async_inference import uploads
from hearth.aws import sqs
from hearth.aws.credentials import domain
from hearth.errors import BadRequest, HearthError
from hearth.storage.open import open_store
from hearth.telemetry.log import logger

REASONS = {
    "not_found": "There is no such model here, or the object no longer exists",
    "payload_too_large": "The object is larger than the model allows",
    "unsupported_media": "The model does not support this kind of object",
    "forbidden": "The event has a bucket or a version that is not allowed here",
    "bad_request": "The object is not a valid input of the model, or the message is not a storage event",
}
"""Error code -> reason for errors of the sender; the error's own message may quote the object."""
RETRY_SECONDS = 60
"""Seconds until a failed message is delivered again, and four times as long after each further failure."""
MAX_CHARACTERS = 1000
"""Largest length of a reason."""


def send_to_dlq(message: Mapping[str, Any], failures: Sequence[tuple[str, HearthError]]) -> bool:
    """Send a failed message to the dead-letter queue, and return whether it was sent; otherwise SQS delivers it again.

    `failures` has the key of each failed object and its error; the key is empty for objects that are not uploads. A
    message is sent if another delivery cannot help, or at its last delivery.
    """
    config = settings.get()
    transient = [failure for _, failure in failures if not isinstance(failure, BadRequest)]
    is_last_delivery = deliveries(message) >= config.deliveries
    if not config.dead_letters or (transient and not is_last_delivery):
        return False
    recorded = [record_failure(key, failure) for key, failure in failures]
    if not all(recorded) and not is_last_delivery:
        return False
    failure = transient[0] if transient else failures[0][1]
    reason = _reason(failure)
    if len(failures) > 1:
        reason = f"{len(failures)} objects of the message failed; for example: {reason}"
    attributes = {
        "error_type": failure.code,
        "reason": sqs.replace_refused_characters(reason[:MAX_CHARACTERS]),
    }
    try:
        sqs.send_message(config.dead_letters, message["body"], attributes)
    except HearthError as error:
        logger().error("dead letter not sent", extra={"reason": error.message})
        return False
    return True


def record_failure(key: str, failure: HearthError) -> bool:
    """Write the error of an upload for clients that ask for its result; return False if it could not be written.

    Nothing is written for keys that were not created here, since no client can ask for their results.
    """
    if not uploads.is_upload_key(key):
        return True
    document = uploads.FailedResult(failure.code, _reason(failure)[:MAX_CHARACTERS])
    try:
        open_store(settings.get().output).put(uploads.failure_path(key), msgspec.json.encode(document))
    except HearthError as error:
        logger().error("failure not recorded", extra={"reason": error.message})
        return False
    return True


def _reason(failure: HearthError) -> str:
    if isinstance(failure, BadRequest):
        return REASONS.get(failure.code, REASONS["bad_request"])
    return failure.message


def deliveries(message: Mapping[str, Any]) -> int:
    """Number of deliveries of a message, including this one; 1 if unknown."""
    try:
        return int(message["attributes"]["ApproximateReceiveCount"])
    except (KeyError, TypeError, ValueError):
        return 1


def poison_safe_order(messages: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Order a batch so that a message that crashes its worker does not move other messages to the dead-letter queue.

    Messages with fewer deliveries come first. Among messages with equally many, the order is reversed at every second
    delivery: messages that were behind the crashing message are then before it.
    """
    ordered = sorted(messages, key=lambda message: str(message["messageId"]))
    batch: list[Mapping[str, Any]] = []
    for count in sorted({deliveries(message) for message in messages}):
        group = [message for message in ordered if deliveries(message) == count]
        if count % 2 == 0:
            group.reverse()
        batch += group
    return batch


def delete_message(message: Mapping[str, Any]) -> None:
    """Delete a finished message from its queue at once, since a later message of the batch may crash this process."""
    try:
        sqs.delete_message(_queue_url(message), message["receiptHandle"])
    except (KeyError, AttributeError, ValueError, HearthError):
        logger().warning("message not deleted")  # Lambda deletes it too, unless the process crashes


def redeliver_soon(message: Mapping[str, Any]) -> None:
    """Let the queue deliver a failed message again soon. Otherwise it would wait for the visibility timeout, which is
    several times the longest invocation."""
    seconds = RETRY_SECONDS * 4 ** (deliveries(message) - 1)
    try:
        sqs.change_visibility(_queue_url(message), message["receiptHandle"], seconds)
    except (KeyError, AttributeError, ValueError, HearthError):
        logger().warning("message not redelivered soon")


def _queue_url(message: Mapping[str, Any]) -> str:
    """The URL of the queue that delivered a message. Raises KeyError, AttributeError, ValueError for an invalid one."""
    _, _, _, region, account, name = message["eventSourceARN"].split(":")
    return f"https://sqs.{region}.{domain(region)}/{account}/{name}"
