"""Feedback on an answer: its correct label, or a rating."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta

from hearth import settings, strict_json
from hearth.auth.api_keys import current_tenant
from hearth.errors import BadRequest, NotFound, StoreError
from hearth.models.cache import warm_cache
from hearth.models.manifest import Manifest
from hearth.protocols.base import Request, Response, Route
from hearth.telemetry import statistics

if TYPE_CHECKING:
    from hearth.tasks.answers import Answer

DECIMALS = 4


class Feedback(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    request_id: Annotated[str, Meta(pattern=r"^[A-Za-z0-9-]{1,64}$(?!\n)")]
    """The X-Request-Id of the answer."""
    label: Annotated[str, Meta(max_length=1000)] | None = None
    """The correct label."""
    rating: Annotated[int, Meta(ge=1, le=5)] | None = None
    """How good the answer was, 5 is best."""
    prediction: Annotated[str, Meta(max_length=1000)] | None = None
    """The label that was answered, for an answer that this process does not know any more."""
    item: Annotated[int, Meta(ge=0, le=1000)] = 0
    """Which input of the request is meant, from 0."""


class Verdict(msgspec.Struct, frozen=True):
    """The accuracy by all feedback that this process has got for a version."""

    model: str
    version: str
    right: bool | None
    """Whether the answer was right; None for a rating."""
    judged: int
    accuracy: float | None = None
    low: float | None = None
    """Lower bound of the 95 % interval of the accuracy."""
    high: float | None = None
    """Upper bound of that interval."""


def give_feedback(request: Request) -> Response:
    """Raises BadRequest, NotFound, StoreError."""
    # Few processes get feedback: a cold start need not import these.
    from hearth.tasks.answers import RECENT
    from hearth.telemetry import sketches
    from hearth.telemetry.log import write_measurement

    manifest = warm_cache().resolve(request.path_params["name"]).manifest
    feedback = strict_json.convert(strict_json.loads(request.body), Feedback)
    if feedback.label is None and feedback.rating is None:
        raise BadRequest("Send the correct `label`, or a `rating` of 1 to 5")
    tenant = current_tenant()
    known = RECENT.find(tenant, feedback.request_id)
    if known is not None and known.model != manifest.model:
        raise NotFound(f"{feedback.request_id} is not a request to {manifest.model}")
    version = known.version if known else manifest.version
    right = None
    if feedback.label is not None:
        _check_label(manifest, "label", feedback.label)
        right = feedback.label == _prediction(feedback, manifest, known)
    _capture(feedback, manifest.model, version)
    RECENT.take(tenant, feedback.request_id)
    observed = {}
    if right is not None:
        observed["correct", int(right)] = 1
    if feedback.rating is not None:
        observed["rating", feedback.rating - 1] = 1
    sketches.add_observed(manifest.model, version, observed, requests=0)
    verdict = _count(manifest.model, version, tenant, right)
    fields: dict[str, object] = {"request_id_judged": feedback.request_id, "right": right, "rating": feedback.rating}
    fields |= {"judged": verdict.judged, "accuracy": verdict.accuracy, "low": verdict.low, "high": verdict.high}
    metrics = {} if verdict.accuracy is None else {"FeedbackAccuracy": verdict.accuracy}
    write_measurement("feedback", manifest.model, version, fields, **metrics)
    return Response(msgspec.json.encode(verdict))


def _check_label(manifest: Manifest, field: str, label: str) -> None:
    """Raises BadRequest for a label that the model does not have."""
    if manifest.labels and label not in manifest.labels:
        some = ", ".join(manifest.labels[:20]) + (", …" if len(manifest.labels) > 20 else "")
        raise BadRequest(f"`{field}` must be one of the labels of {manifest.model}: {some}", param=field)


def _prediction(feedback: Feedback, manifest: Manifest, known: Answer | None) -> str:
    """The label that was answered. Raises NotFound if nobody says it."""
    if known is not None and feedback.prediction in (None, known.label):
        return known.label
    if known is not None:
        raise BadRequest("`prediction` is not what was answered to this request", param="prediction")
    if feedback.prediction is None:
        raise NotFound(
            f"This process does not know the answer to {feedback.request_id} (it is too old, was judged already, had "
            "several inputs, or another process gave it); send the label that was answered as `prediction`"
        )
    _check_label(manifest, "prediction", feedback.prediction)
    return feedback.prediction


def _capture(feedback: Feedback, model: str, version: str) -> None:
    """Write the label beside captured inputs, if inputs are captured. Raises StoreError."""
    if settings.get().capture and feedback.label is not None:
        from datetime import UTC, datetime

        from hearth.tasks.answers import LABELS, capture_store

        label = {"label": feedback.label, "time": datetime.now(UTC).isoformat(timespec="seconds")}
        path = f"{model}/{version}/{LABELS}/{feedback.request_id}-{feedback.item}.json"
        try:
            capture_store().put(path, msgspec.json.encode(label))
        except OSError as error:
            raise StoreError(f"The label could not be written: {error.strerror}") from error


def _count(model: str, version: str, tenant: str, right: bool | None) -> Verdict:
    record = (
        statistics.get_record(model, version, tenant)
        if right is None
        else statistics.count_verdict(model, version, tenant, is_right=right)
    )
    judged = record.right + record.wrong
    if not judged:
        return Verdict(model, version, right, 0)
    low, accuracy, high = (round(value, DECIMALS) for value in statistics.accuracy_interval(record.right, judged))
    return Verdict(model, version, right, judged, accuracy, low, high)


ROUTES = (
    Route(
        "POST",
        "/models/{name}/feedback",
        give_feedback,
        "give_feedback",
        "Say what the correct label of an answer is, or how good it was",
        Feedback,
        response_schema=Verdict,
    ),
)
