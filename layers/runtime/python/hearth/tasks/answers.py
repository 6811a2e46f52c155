"""Recent answers of this process, for feedback, and the capture of a share of requests for labelling.

Answers are kept in memory without their inputs. HEARTH_CAPTURE keeps inputs: it is off unless the owner of the store
switches it on; texts are redacted by rules, pictures lose their metadata, and a client refuses with the header
`x-hearth-capture: off`.
"""

from __future__ import annotations

import math
import random
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import msgspec

from hearth import settings
from hearth.auth.api_keys import current_tenant
from hearth.errors import HearthError
from hearth.models.model import Model
from hearth.storage.base import Store
from hearth.storage.open import open_store
from hearth.tasks.task import Prediction, Task
from hearth.telemetry.log import logger
from hearth.telemetry.timing import current

MAX_ANSWERS = 10_000
"""Answers in memory that feedback can name; beyond it the oldest is forgotten."""
MAX_INPUTS = 32
"""Inputs of a request that are captured at most."""
MAX_BYTES = 4 * 1024 * 1024
"""Size of an input beyond which it is not captured."""
MAX_WRITING = 8
"""Requests whose inputs are being written at once; while a store is slow, others are not captured."""
REDACTIONS = {
    "email": (re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}"), "[email]"),
    "url": (re.compile(r"\b(?:https?://|www\.)\S+"), "[url]"),
    "number": (re.compile(r"\+?\d(?:[ .()/-]?\d){2,24}"), "[number]"),
}
"""Rule of HEARTH_CAPTURE_REDACT -> pattern and what stands in its place. `number` covers three digits and more."""
LABELS = "labels"
"""The folder of a version with the labels of its inputs; the other folders are days."""
EXPIRY_SECONDS = 3600
_generator = random.SystemRandom()
_writing = threading.Semaphore(MAX_WRITING)


class Answer(msgspec.Struct, frozen=True):
    """The best label of a request with one input."""

    model: str
    version: str
    label: str
    score: float


class Captured(msgspec.Struct, frozen=True, omit_defaults=True):
    """A captured input with the answer to it."""

    id: str
    time: str
    model: str
    version: str
    task: str
    text: str = ""
    picture: bytes = b""
    """A JPEG without metadata."""
    label: str = ""
    score: float | None = None
    scores: dict[str, float] = {}
    """All scores of the answer."""


class RecentAnswers:
    def __init__(self) -> None:
        self._answers: OrderedDict[tuple[str, str], Answer] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, tenant: str, request_id: str, answer: Answer) -> None:
        with self._lock:
            self._answers[tenant, request_id] = answer
            if len(self._answers) > MAX_ANSWERS:
                self._answers.popitem(last=False)

    def take(self, tenant: str, request_id: str) -> Answer | None:
        """The answer to a request, once."""
        with self._lock:
            return self._answers.pop((tenant, request_id), None)

    def find(self, tenant: str, request_id: str) -> Answer | None:
        return self._answers.get((tenant, request_id))


RECENT = RecentAnswers()
"""The answers of this process."""


def remembering(task: Task) -> Task:
    """The task whose answers are remembered, and captured by chance."""

    def predict(model: Model[Any, Any], request: Any) -> Prediction:
        prediction = task.predict(model, request)
        _remember(task, model, request, prediction.output)
        return prediction

    return msgspec.structs.replace(task, predict=predict)


def _remember(task: Task, model: Model[Any, Any], request: Any, output: Any) -> None:
    timing, manifest = current(), model.manifest
    inputs = request.inputs if isinstance(request.inputs, list) else [request.inputs]
    scores = [*scores_of(output, len(inputs))]
    if timing.request_id and len(scores) == 1 and scores[0]:
        label = max(scores[0], key=lambda name: scores[0][name])
        answer = Answer(manifest.model, manifest.version, label, scores[0][label])
        RECENT.add(current_tenant(), timing.request_id, answer)
    config = settings.get()
    if not config.capture or timing.is_private or _generator.random() >= config.capture_share:
        return
    captured = []
    request_id = timing.request_id or f"{_generator.getrandbits(64):x}"
    for number, (value, row) in enumerate(zip(inputs, scores or [{}] * len(inputs), strict=False)):
        if number < MAX_INPUTS and isinstance(value, str | bytes) and len(value) <= MAX_BYTES:
            captured.append((f"{request_id}-{number}", value, row))
    if captured and _writing.acquire(blocking=False):
        threading.Thread(target=_capture, args=(task.id, model, captured), name="capture", daemon=True).start()


def scores_of(output: Any, inputs: int) -> Iterator[dict[str, float]]:
    """The scores by label of each input of a response; nothing if the task has none.

    A list of labels is the answer to one input, a list of lists one answer each.
    """
    rows = getattr(output, "predictions", output)
    if not isinstance(rows, list) or not rows:
        return
    if not isinstance(rows[0], list):
        rows = [rows]
    if len(rows) != inputs:
        return
    for row in rows:
        scores: dict[str, float] = {}
        for item in row:
            label, score = getattr(item, "label", None), getattr(item, "score", None)
            if isinstance(label, str) and isinstance(score, float):
                scores[label] = max(scores.get(label, 0.0), score)
        yield scores


def _capture(task: str, model: Model[Any, Any], inputs: Sequence[tuple[str, str | bytes, dict[str, float]]]) -> None:
    """Write inputs with their answers, and let others write. What fails is not captured."""
    config, manifest = settings.get(), model.manifest
    now = datetime.now(UTC)
    folder = f"{manifest.model}/{manifest.version}/{now:%Y-%m-%d}"
    try:
        store = capture_store()
        for name, value, scores in inputs:
            best = max(scores, key=lambda label: scores[label], default="")
            captured = Captured(
                name,
                now.isoformat(timespec="seconds"),
                manifest.model,
                manifest.version,
                task,
                redact(value, config.capture_redact) if isinstance(value, str) else "",
                without_metadata(value) if isinstance(value, bytes) else b"",
                best,
                scores.get(best),
                scores,
            )
            if captured.text or captured.picture:
                store.put(f"{folder}/{name}.json", msgspec.json.encode(captured))
    except (HearthError, OSError) as error:
        logger().error("not captured", extra={"reason": getattr(error, "code", type(error).__name__)})
    finally:
        _writing.release()


def redact(text: str, rules: Sequence[str]) -> str:
    """The text without what the rules name."""
    for rule in rules:
        pattern, substitute = REDACTIONS[rule]
        text = pattern.sub(substitute, text)
    return text


def without_metadata(data: bytes) -> bytes:
    """A picture encoded anew; empty for what is no picture. Raises HearthError for a broken one."""
    from hearth.ops.vision.drawing import to_jpeg
    from hearth.ops.vision.images import MAX_PIXELS, count_pixels, open_image

    return to_jpeg(open_image(data, MAX_PIXELS)) if count_pixels(data) else b""


def capture_store() -> Store:
    """The store of HEARTH_CAPTURE. A local folder is readable by its owner alone, and loses what has expired; S3
    encrypts objects itself. Raises OSError."""
    config = settings.get()
    if config.capture.startswith("file://"):
        folder = Path(unquote(config.capture.removeprefix("file://")))
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _expiry.run(folder, config.capture_days)
    return open_store(config.capture)


class _Expiry:
    """Deletes what is too old, at most once an hour: a folder may have many labels."""

    def __init__(self) -> None:
        self._done: dict[Path, float] = {}

    def run(self, folder: Path, days: float) -> None:
        now = time.monotonic()
        if now - self._done.get(folder, -math.inf) >= EXPIRY_SECONDS:
            self._done[folder] = now
            expire(folder, datetime.now(UTC) - timedelta(days=days))


_expiry = _Expiry()


def expire(root: Path, before: datetime) -> None:
    """Delete what was captured on earlier days by any version, and earlier labels."""
    import shutil

    for folder in root.glob("*/*/*"):
        if folder.name == LABELS:
            for label in folder.iterdir():
                with suppress(FileNotFoundError):  # another process deletes too
                    if label.stat().st_mtime < before.timestamp():
                        label.unlink()
        elif re.fullmatch(r"\d{4}-\d\d-\d\d", folder.name) and folder.name < f"{before:%Y-%m-%d}":
            shutil.rmtree(folder, ignore_errors=True)
