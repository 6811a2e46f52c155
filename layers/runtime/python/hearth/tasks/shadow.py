"""Shadows: another version of a model computes an answer too, and the log says how far both agree.

It is computed after the answer has left: on the local server by a thread of low priority that waits while requests are
computed, on Lambda before the next event is asked for (`run_waiting`), for uploads after their results were written. A
computation that comes while too many wait is left out. It belongs to no caller: it is not counted, audited or charged,
and its errors are only logged.
"""

from __future__ import annotations

import contextvars
import functools
import os
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from hearth import deadline, settings
from hearth.auth import api_keys
from hearth.errors import ENDS, ManifestError
from hearth.models.cache import Lease, warm_cache
from hearth.models.model import Model
from hearth.models.registry import Ref, Resolved
from hearth.tasks import memory_budget
from hearth.tasks.agreement import compare
from hearth.tasks.schema import Explained
from hearth.tasks.task import Prediction, Task
from hearth.telemetry.log import as_hearth_error, logger, sanitize
from hearth.telemetry.timing import Timing, begin

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hearth.tasks.generation import Generation, Piece

MAX_WAITING = 16
MAX_BYTES = 64 * 1024 * 1024
"""Largest size of all inputs that wait."""
SECONDS = 60.0
"""Time of one computation."""
LOWEST_PRIORITY = 19


class Shadow(msgspec.Struct, frozen=True):
    """A computation that waits."""

    resolved: Resolved
    """Of the request; its `shadow` computes."""
    answered: Ref
    answer: Any
    comparison: str
    compute: Callable[[Model[Any, Any]], Any]
    """The model of the shadow -> its answer."""
    size: int
    request_id: str
    as_document: Callable[[Any], Any]
    """An answer -> its builtins."""


_waiting: deque[Shadow] = deque()
_changed = threading.Condition()
_in_thread = False
"""Whether a thread of this process computes what waits."""


def observe(task: Task, resolved: Resolved, answered: Ref, request_id: str = "") -> Task:
    """The task of a request, whose predictions the shadow of `resolved` computes too. `answered` is the version that
    was opened, which may be another one than `resolved.ref`."""
    predict, stream = task.predict, task.stream
    submit_answer = functools.partial(_submit, task, resolved, answered, request_id)

    def observed_predict(model: Model[Any, Any], request: Any) -> Prediction:
        prediction = predict(model, request)
        submit_answer(request, prediction.output, prediction.usage.seed)
        return prediction

    if stream is None:
        return replace(task, predict=observed_predict)

    def observed_stream(model: Model[Any, Any], request: Any) -> Generation:
        generation = stream(model, request)

        def pieces(remaining: Iterator[Piece]) -> Iterator[Piece]:
            texts = []
            for piece in remaining:
                texts.append(piece.text)
                yield piece
            submit_answer(request, [{"generated_text": generation.prefix + "".join(texts)}], generation.usage.seed)

        generation.wrap(pieces)
        return generation

    return replace(task, predict=observed_predict, stream=observed_stream)


def _submit(
    task: Task, resolved: Resolved, answered: Ref, request_id: str, request: Any, output: Any, seed: int | None
) -> None:
    if isinstance(output, Explained):  # an explanation takes as long as a hundred answers
        return
    if seed is not None and getattr(request.parameters, "seed", seed) is None:
        request = replace(request, parameters=replace(request.parameters, seed=seed))

    def compute(model: Model[Any, Any]) -> Any:
        return task.predict(model, request).output

    submit(resolved, answered, output, task.row.comparison, compute, _size(request.inputs), request_id)


def submit(
    resolved: Resolved,
    answered: Ref,
    answer: Any,
    comparison: str,
    compute: Callable[[Model[Any, Any]], Any],
    size: int,
    request_id: str,
    as_document: Callable[[Any], Any] = msgspec.to_builtins,
) -> None:
    """Let the shadow of `resolved` compute an answer too, unless too many wait or nobody would compute it."""
    if resolved.shadow == answered or not _is_collected():
        return
    with _changed:
        if len(_waiting) < MAX_WAITING and size + sum(shadow.size for shadow in _waiting) <= MAX_BYTES:
            _waiting.append(Shadow(resolved, answered, answer, comparison, compute, size, request_id, as_document))
            _changed.notify()


def _is_collected() -> bool:
    """Whether what waits will be computed: AWS's own runtime freezes a process when a response has been sent."""
    return _in_thread or bool(settings.get().streams) or not api_keys.has_caller()


def run_waiting() -> None:
    """Compute what waits, in the time that is left."""
    while _waiting:
        shadow = _waiting.popleft()
        if not deadline.expires_within(0):
            contextvars.copy_context().run(_run, shadow)


def start_thread() -> None:
    """Compute what waits in a thread from now on."""
    global _in_thread
    if not _in_thread:
        _in_thread = True
        threading.Thread(target=_work, name="hearth-shadow", daemon=True).start()


def _work() -> None:
    while True:
        with _changed:
            while not _waiting:
                _changed.wait()
            shadow = _waiting.popleft()
        contextvars.Context().run(_run, shadow, yields=True)


def _run(shadow: Shadow, *, yields: bool = False) -> None:
    """Compute an answer, compare it, and log a line. With `yields`, requests go first."""
    remaining = deadline.remaining()
    deadline.set_seconds(SECONDS if remaining is None else min(remaining, SECONDS))
    timing, fields = begin(), dict[str, Any]()
    try:
        with _open(shadow) as model:
            fields = _in_low_priority(lambda: _compare(shadow, model)) if yields else _compare(shadow, model)
    except ENDS:
        raise
    except BaseException as error:
        failure = as_hearth_error(error)
        fields = {"error": failure.code, "reason": sanitize(failure.message)}
    _log(shadow, timing, fields)


def _open(shadow: Shadow) -> Lease:
    """Load the shadow's model. Raises ManifestError if it has another task."""
    ref, cache = shadow.resolved.shadow, warm_cache()
    assert ref is not None  # noqa: S101 -- only such requests are submitted
    manifest, task = cache.registry.manifest(ref), shadow.resolved.manifest.task
    if manifest.task != task:
        raise ManifestError(f"{ref} supports {manifest.task}, but {shadow.answered} {task}")
    return cache.open(Resolved(str(ref), ref, manifest))


def _compare(shadow: Shadow, model: Model[Any, Any]) -> dict[str, Any]:
    output = shadow.compute(model)
    agreement = compare(shadow.comparison, shadow.as_document(shadow.answer), shadow.as_document(output))
    return {"agreement": round(agreement.agreement, 4), "distance": round(agreement.distance, 6)}


def _in_low_priority(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Run `work` in a thread of its own of the lowest priority: a thread cannot raise its priority again, and threads
    that a model's session starts would inherit it. Raises what `work` raises."""
    results: list[dict[str, Any] | BaseException] = []
    context = contextvars.copy_context()

    def run() -> None:
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LOWEST_PRIORITY)  # of this thread, on Linux
        try:
            with memory_budget.yielding():
                results.append(work())
        except BaseException as error:
            results.append(error)

    thread = threading.Thread(target=context.run, args=(run,), name="hearth-shadow-run", daemon=True)
    thread.start()
    thread.join()
    if isinstance(results[0], BaseException):
        raise results[0]
    return results[0]


def _log(shadow: Shadow, timing: Timing, fields: dict[str, Any]) -> None:
    ref = shadow.answered
    extra = {"model": ref.model, "version": ref.version, "shadow": shadow.resolved.shadow.version, **fields}  # type: ignore[union-attr]
    if shadow.request_id:
        extra["request_id"] = sanitize(shadow.request_id)
    steps = {name: round(value, 3) for name, value in timing.steps.items()}
    logger().info("shadow", extra={**extra, "ms": {**steps, "total": round(timing.total, 3)}})


def _size(inputs: Any) -> int:
    """Bytes of texts and files, roughly."""
    if isinstance(inputs, str | bytes):
        return len(inputs)
    if isinstance(inputs, list):
        return sum(map(_size, inputs))
    if isinstance(inputs, dict):
        return sum(map(_size, inputs.values()))
    return 8
