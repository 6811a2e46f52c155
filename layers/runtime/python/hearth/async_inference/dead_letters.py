"""Dead letters: messages that cannot be answered, put aside with the reason and counted as done.

Without this SQS moves a message by itself, after `maxReceiveCount` deliveries and without the reason; it still does
where the function died, or could not put the dead letter. Who asks for the result of an upload gets the reason too.
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
    "not_found": "There is no such model here, or the object is gone",
    "payload_too_large": "The object is larger than what the model takes",
    "unsupported_media": "The object is of a kind that the model does not take",
    "forbidden": "The event names a bucket or a version that may not be asked for here",
    "bad_request": "The object is not what the model takes, or the message is no storage event",
}
"""Of errors of the sender, in words of our own: those of the error may quote the object."""
MAX_CHARACTERS = 1000
"""Of a reason."""


def send_to_dlq(message: Mapping[str, Any], failures: Sequence[tuple[str, HearthError]]) -> bool:
    """Whether a message that failed is done with, because it is among the dead letters now. Otherwise it comes again.

    `failures` has the key of each object that could not be answered, and why; an empty key is of no upload. A message
    goes to the dead letters at once where another delivery cannot help, and at its last delivery.
    """
    chosen = settings.get()
    passing = [failure for _, failure in failures if not isinstance(failure, BadRequest)]
    last = deliveries(message) >= chosen.deliveries
    if not chosen.dead_letters or (passing and not last):
        return False
    recorded = [record_failure(key, failure) for key, failure in failures]
    if not all(recorded) and not last:
        return False
    failure = passing[0] if passing else failures[0][1]
    reason = _reason(failure)
    if len(failures) > 1:
        reason = f"{len(failures)} objects of the message failed; one of them: {reason}"
    attributes = {
        "error_type": failure.code,
        "reason": sqs.replace_refused_characters(reason[:MAX_CHARACTERS]),
    }
    try:
        sqs.send_message(chosen.dead_letters, message["body"], attributes)
    except HearthError as error:
        logger().error("dead letter not put", extra={"reason": error.message})
        return False
    return True


def record_failure(key: str, failure: HearthError) -> bool:
    """Write why an upload has no result, for whoever asks for it; return False where that could not be written.

    Nobody can ask for a key that was not chosen here, so nothing is written for one.
    """
    if not uploads.is_ours(key):
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
    """How often a message was delivered, this time included; 1 where the message does not say so."""
    try:
        return int(message["attributes"]["ApproximateReceiveCount"])
    except (KeyError, TypeError, ValueError):
        return 1


def poison_safe_order(messages: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """A batch in an order in which a message that kills its worker takes no other along to the dead letters.

    Messages that were delivered less often come first. Among those delivered equally often the order is turned round
    at every second delivery: what stood behind the poisonous message the last time stands before it now.
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
    """Delete a message that is done with from its queue now: what comes after it in its batch may kill this process."""
    try:
        _, _, _, region, account, name = message["eventSourceARN"].split(":")
        sqs.delete_message(f"https://sqs.{region}.{domain(region)}/{account}/{name}", message["receiptHandle"])
    except (KeyError, AttributeError, ValueError, HearthError):
        logger().warning("message not deleted")  # Lambda does it too, unless the process dies
