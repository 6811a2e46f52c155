"""Dead letters: a queue's message that cannot be answered, put aside with the reason and counted as done.

Without this SQS moves a message by itself, after `maxReceiveCount` deliveries and without a word why; it still does
where the function died, or could not put the letter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hearth import log, settings, sqs
from hearth.errors import BadRequest, HearthError
from hearth.s3 import domain

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


def bury(message: Mapping[str, Any], failures: Sequence[HearthError]) -> bool:
    """Whether a message that failed is done with: it lies among the dead letters. Otherwise it is to come again.

    It is put there at once where asking again cannot help, and at its last delivery.
    """
    chosen = settings.get()
    passing = [failure for failure in failures if not isinstance(failure, BadRequest)]
    if not chosen.dead_letters or (passing and deliveries(message) < chosen.deliveries):
        return False
    failure = (passing or failures)[0]
    reason = failure.message if passing else REASONS.get(failure.code, REASONS["bad_request"])
    if len(failures) > 1:
        reason = f"{len(failures)} objects of the message failed; one so: {reason}"
    attributes = {"error_type": failure.code, "reason": sqs.allowed(reason[:LONGEST])}
    try:
        sqs.send(chosen.dead_letters, message["body"], attributes)
    except HearthError as error:
        log.logger().error("dead letter not put", extra={"reason": error.message})
        return False
    return True


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
