"""Dead letters: a queue's message that cannot be answered, put aside with the reason and counted as done.

Without this SQS moves a message by itself, after `maxReceiveCount` deliveries and without a word why; it still does
where the function died, or could not put the letter. Who asks for the result of an upload is told the reason too.
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
from hearth.telemetry import log

REASONS = {
    "not_found": "There is no such model here, or the object is gone",
    "payload_too_large": "The object is larger than what the model takes",
    "unsupported_media": "The object is of a kind that the model does not take",
    "forbidden": "The event names a bucket or a version that may not be asked for here",
    "bad_request": "The object is not what the model takes, or the message is no storage event",
}
"""Of faults of the sender, in words of our own: those of the error may quote the object."""
LONGEST = 1000
"""Characters of a reason."""


def bury(message: Mapping[str, Any], failed: Sequence[tuple[str, HearthError]]) -> bool:
    """Whether a message that failed is done with: it lies among the dead letters. Otherwise it is to come again.

    `failed` has the key of each object that could not be answered, and why; an empty key is that of no upload. The
    message is put there at once where asking again cannot help, and at its last delivery.
    """
    chosen = settings.get()
    passing = [failure for _, failure in failed if not isinstance(failure, BadRequest)]
    last = deliveries(message) >= chosen.deliveries
    if not chosen.dead_letters or (passing and not last):
        return False
    told = [tell(key, failure) for key, failure in failed]
    if not all(told) and not last:
        return False
    failure = passing[0] if passing else failed[0][1]
    reason = _reason(failure)
    if len(failed) > 1:
        reason = f"{len(failed)} objects of the message failed; one so: {reason}"
    attributes = {"error_type": failure.code, "reason": sqs.allowed(reason[:LONGEST])}
    try:
        sqs.send(chosen.dead_letters, message["body"], attributes)
    except HearthError as error:
        log.logger().error("dead letter not put", extra={"reason": error.message})
        return False
    return True


def tell(key: str, failure: HearthError) -> bool:
    """Let whoever asks for an upload's result know why there is none; False where that could not be written.

    For a key that was not chosen here nobody can ask, and nothing is written.
    """
    if not uploads.chosen(key):
        return True
    document = uploads.Failure(failure.code, _reason(failure)[:LONGEST])
    try:
        open_store(settings.get().output).put(uploads.failed(key), msgspec.json.encode(document))
    except HearthError as error:
        log.logger().error("failure not told", extra={"reason": error.message})
        return False
    return True


def _reason(failure: HearthError) -> str:
    if isinstance(failure, BadRequest):
        return REASONS.get(failure.code, REASONS["bad_request"])
    return failure.message


def deliveries(message: Mapping[str, Any]) -> int:
    """How often a message was handed out, this time included."""
    try:
        return int(message["attributes"]["ApproximateReceiveCount"])
    except (KeyError, TypeError, ValueError):
        return 1


def ordered(messages: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """A batch in an order in which one message that kills its worker takes no other along to the dead letters.

    Who came less often is tried first; of those who came together again, every other time the last first.
    """
    counted = [(deliveries(message), str(message["messageId"]), message) for message in messages]
    return [
        message
        for times in sorted({count for count, _, _ in counted})
        for _, message in sorted(
            ((name, message) for count, name, message in counted if count == times),
            key=lambda named: named[0],
            reverse=times % 2 == 0,
        )
    ]


def release(message: Mapping[str, Any]) -> None:
    """Take a message that is done with from its queue now: what comes after it in its batch may kill this process."""
    try:
        _, _, _, region, account, name = message["eventSourceARN"].split(":")
        sqs.delete(f"https://sqs.{region}.{domain(region)}/{account}/{name}", message["receiptHandle"])
    except (KeyError, AttributeError, ValueError, HearthError):
        log.logger().warning("message not released")  # Lambda does it too, unless the process dies
