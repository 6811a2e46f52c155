"""The event path in a world of its own: the handler's real code, and everything around it made to fail, seed by seed.

`python -m tests.faults.simulator --seeds 2000` writes a section of docs/testing/results.md; `--seed N` repeats one run.
Law: every upload ends in exactly one result a version, or among the dead letters; what cannot be answered is a dead
letter and stops nobody else.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import msgspec

from hearth import settings
from hearth.async_inference import storage_events, uploads
from hearth.errors import BadRequest
from hearth.models.cache import warm_cache
from hearth.tasks.task import Prediction, Task, Usage
from hearth.telemetry import log
from tests.faults.world import Killed, Message, Rates, Worker, World
from tests.support.artifacts import make_text_artifact
from tests.support.record import record
from tests.support.storage import eventbridge_event, notification

LEAST_EVENTS = 50
WORKERS = 3
BATCH = 10
MODELS = ("sentiment-en", "sentiment-zh")
LETTERS = "https://sqs.invalid/1/letters"
FAILED = uploads.failure_path("")
ARN = "arn:aws:sqs:us-east-1:1:uploads"
KINDS = ("fine",) * 12 + ("poison", "panic", "bug", "stranger", "malformed", "killer")
"""Of uploads: answered; refused; a fault of the tokenizer's or of ours; for no model; no event; ends its worker."""
Handle = Callable[[list[Message]], Any]


class Request(msgspec.Struct):
    inputs: str
    parameters: dict[str, Any] = {}


class Panic(BaseException):
    """As a tokenizer's."""


@dataclass(frozen=True)
class Upload:
    key: str
    version: str
    sequencer: str
    kind: str
    etag: str
    body: str


@dataclass
class Run:
    """One seed's world and what was put into it."""

    world: World
    versioned: bool
    uploads: list[Upload] = field(default_factory=list)
    strangers: int = 0
    """Messages that are no events."""
    answers: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def quiet(self) -> bool:
        return self.world.rates == Rates()


def rates(seed: int) -> Rates:
    """Every fifth seed has no fault but what is uploaded; the others have each of them, or not."""
    import random

    if seed % 5 == 0:
        return Rates()
    draw = random.Random(f"rates {seed}")
    most = {"kill": 0.05, "throttle": 0.1, "lost": 0.05, "stall": 0.03, "jump": 0.02, "repeat": 0.3}
    return Rates(**{name: draw.choice((0.0, draw.uniform(0, rate))) for name, rate in most.items()})


def simulate(seed: int, *, conditions: bool = True, spoil: Callable[[Handle], Handle] | None = None) -> Run:
    """One run, to the end; `wrong` says what broke the law. `spoil` makes a handler that is wrong on purpose."""
    run = Run(World(seed, rates(seed), conditions), versioned=seed % 4 != 3)
    tasks = [Task("text-classification", Request, Any, lambda _, request: _predict(run, request), {})]

    def handle(batch: list[Message]) -> Any:
        return storage_events.handle(tasks, {"Records": [_told(message) for message in batch]}, SimpleNamespace())

    with _inside(run.world):
        _live(run, spoil(handle) if spoil else handle)
    _judge(run)
    return run


def _told(message: Message) -> dict[str, Any]:
    return {
        "eventSource": "aws:sqs",
        "eventSourceARN": ARN,
        "messageId": message.name,
        "receiptHandle": message.name,
        "attributes": {"ApproximateReceiveCount": str(message.receives)},
        "body": message.body,
    }


def _predict(run: Run, request: Request) -> Any:
    kind = request.inputs.partition(" ")[0]
    if kind == "poison":
        raise BadRequest(f"cannot read {request.inputs}")
    if kind == "panic":
        raise Panic(request.inputs)
    if kind == "bug":
        raise ValueError(request.inputs)
    if kind == "killer":
        raise Killed
    run.answers += 1
    return Prediction([request.inputs, run.answers], Usage())  # no two answers are alike


def _live(run: Run, handle: Handle) -> None:
    """Uploads come, workers take turns, time passes, until nothing is left to do."""
    world = run.world
    draw, left = world.random, LEAST_EVENTS + world.random.randrange(30)
    workers: list[Worker] = []
    for _ in range(200_000):
        choice = draw.random()
        if left and choice < 0.15:
            left -= 1
            _upload(run)
        elif workers and choice < 0.8:
            worker = draw.choice(workers)
            if not worker.go_on():
                workers.remove(worker)
                if worker.surprise:
                    run.wrong.append(f"the handler raised {worker.surprise!r}")
        elif len(workers) < WORKERS and (batch := world.receive(draw.randint(1, BATCH))):
            workers.append(Worker(world, batch, handle))
        elif not left and not workers and not world.queue:
            return
        else:
            world.now += 0 if workers else draw.expovariate(1 / 30)
    run.wrong.append(f"never came to rest: {len(world.queue)} messages left")


def _upload(run: Run) -> None:
    world, number = run.world, len(run.uploads)
    draw = world.random
    kind = draw.choice(KINDS)
    if kind == "killer" and run.quiet and any(upload.kind == kind for upload in run.uploads):
        kind = "fine"  # one is to harm nobody; several in one batch may
    if kind == "malformed":
        run.strangers += 1
        world.tell(
            draw.choice(
                ("no JSON", "[" * 9999, "5", '{"source": "aws.s3", "detail-type": "Object Created"}', '"\\ud800"')
            )
        )
        return
    model = "none" if kind == "stranger" else draw.choice(MODELS)
    ending = draw.randrange(12)
    chosen = draw.random() < 0.5  # as POST /uploads does, so that somebody may ask for the result
    key = f"uploads/{model}/" + (f"u{ending:032x}" if chosen else f"{'a b+%20/../é'[ending:]}.txt")
    body = f"{kind} needle-{number}"
    version = world.put(f"inbox/{key}", body.encode(), versioned=run.versioned)
    sequencer = f"{number:04X}"[: draw.randint(4, 8)].ljust(draw.randint(4, 8), "0")
    run.uploads.append(Upload(key, version.id, sequencer, kind, version.etag, body))
    shape = draw.choice((eventbridge_event, notification))
    told = shape("inbox", key, version.etag, len(body), sequencer, version.id)
    world.tell(json.dumps(told if shape is eventbridge_event else {"Records": [told]}))


def _judge(run: Run) -> None:
    """Compare what is in the stores and among the dead letters with what was uploaded."""
    dead = Counter[tuple[str, str]]()
    for body, reason in run.world.letters:
        if "needle" in body + json.dumps(dict(reason)):
            run.wrong.append("a dead letter quotes an object")
        dead.update((found.key, found.version or found.sequencer) for found in _objects(body))
    written = {
        place.removeprefix("outbox/results/"): [json.loads(version.data) for version in versions]
        for place, versions in run.world.objects.items()
        if place.startswith("outbox/") and not place.endswith(FAILED)
    }
    run.wrong += _judge_failures(run, {key for key, _ in dead} | {name.partition(".json")[0] for name in written})
    known: set[str] = set()
    for key in dict.fromkeys(upload.key for upload in run.uploads):
        puts = [upload for upload in run.uploads if upload.key == key]
        known |= {f"{key}.json", *(f"{key}.json@{upload.version}" for upload in puts)}
        judge = _judge_versions if run.versioned else _judge_newest
        run.wrong += [f"{fault}: {key}" for fault in judge(puts, written, dead)]
        shown = [result["input"]["sequencer"] for result in written.get(f"{key}.json", ())]
        if shown != sorted(set(shown)):
            run.wrong.append(f"an older result came after a newer one, or one came twice: {key}.json")
    run.wrong += [f"nobody asked for {name}" for name in written if name not in known]
    spared = [u for u in run.uploads if u.kind == "fine" and dead[(u.key, u.version or u.sequencer)]]
    if run.quiet and spared:
        run.wrong.append(f"a neighbour of what went wrong is a dead letter: {spared[0].key}")
    if run.strangers > sum(not _objects(body) for body, _ in run.world.letters):
        run.wrong.append("a message that is no event was lost")


def _judge_failures(run: Run, ended: set[str]) -> Iterator[str]:
    """What who asks for a result is told of those uploads that have none; `ended` are the keys that have an end."""
    failures = {
        place.removeprefix("outbox/results/").removesuffix(FAILED): versions
        for place, versions in run.world.objects.items()
        if place.startswith("outbox/") and place.endswith(FAILED)
    }
    for key, versions in failures.items():
        if key not in ended or not uploads.is_ours(key):
            yield f"a failure is told of what has not failed: {key}"
        if any(b"needle" in version.data for version in versions):
            yield f"a failure quotes an object: {key}"
    if run.world.rates.throttle or run.world.rates.lost:
        return  # at the last delivery the letter is put even where the failure could not be told
    for body, reason in run.world.letters:
        for found in _objects(body):
            if reason and uploads.is_ours(found.key) and found.key not in failures:
                yield f"nobody is told why there is no result: {found.key}"


def _judge_versions(
    puts: list[Upload], written: Mapping[str, list[Any]], dead: Mapping[tuple[str, str], int]
) -> Iterator[str]:
    newest: Any = None
    for upload in puts:
        results = written.get(f"{upload.key}.json@{upload.version}", [])
        if len(results) > 1:
            yield f"{len(results)} results of version {upload.version}"
        if not results and not dead[(upload.key, upload.version)]:
            yield f"{upload.kind} upload {upload.version} was lost"
        if results and (upload.kind != "fine" or results[0]["output"][0] != upload.body):
            yield f"the result of {upload.kind} upload {upload.version} is of something else"
        if results and not dead[(upload.key, upload.version)]:
            newest = results[0]
    shown = written.get(f"{puts[0].key}.json", [None])[-1]
    if newest and (not shown or shown["input"]["sequencer"] < newest["input"]["sequencer"]):
        yield "the newest result is not shown"
    if shown and shown != written.get(f"{puts[0].key}.json@{shown['input'].get('version')}", [None])[0]:
        yield "what is shown is no version's result"


def _judge_newest(
    puts: list[Upload], written: Mapping[str, list[Any]], dead: Mapping[tuple[str, str], int]
) -> Iterator[str]:
    """Without versions, what was overwritten may have no result; the last upload of each key has one."""
    last, shown = puts[-1], written.get(f"{puts[0].key}.json", [None])[-1]
    if not dead[(last.key, last.sequencer)] and not (shown and shown["input"]["sequencer"] == last.sequencer):
        yield f"the last upload, {last.kind}, was lost"
    for result in written.get(f"{last.key}.json", ()):
        upload = next(upload for upload in puts if upload.sequencer == result["input"]["sequencer"])
        if upload.kind != "fine" or result["output"][0] != upload.body:
            yield "a result is of something else"


def _objects(body: str) -> list[Any]:
    try:
        return list(storage_events._created_objects(json.loads(body)))
    except Exception:
        return []


@contextmanager
def _inside(world: World) -> Iterator[None]:
    """The handler's services are the world's."""
    with (
        patch("hearth.async_inference.storage_events.open_store", world.open),
        patch("hearth.async_inference.uploads.open_store", world.open),
        patch("hearth.async_inference.dead_letters.open_store", world.open),
        patch("hearth.aws.sqs.send_message", world.send_letter),
        patch("hearth.aws.sqs.delete_message", world.delete_message),
    ):
        yield


@contextmanager
def stage() -> Iterator[None]:
    """A process that is set to answer uploads, and writes no lines."""
    level = log.logger().level
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder)
        for model in MODELS:
            artifact = make_text_artifact(store, model)
            (artifact.parent / "aliases.json").write_text('{"prod": {"version": "1"}}')
        variables = {
            "HEARTH_STORE": f"file://{store}",
            "HEARTH_OUTPUT": "s3://outbox/results",
            "HEARTH_UPLOADS": "s3://inbox",
            "HEARTH_DEAD_LETTERS": LETTERS,
            "HEARTH_ALIAS_SECONDS": "3600",
        }
        with patch.dict(os.environ, variables):
            _forget()
            log.logger().setLevel("CRITICAL")
            try:
                yield
            finally:
                log.logger().setLevel(level)
    _forget()


def _forget() -> None:
    settings.get.cache_clear()
    warm_cache.cache_clear()


def repeat(seed: int) -> str:
    return f"python -m tests.faults.simulator --seed {seed}"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=2000)
    parser.add_argument("--seed", type=int)
    chosen = parser.parse_args()
    started, failed, total = time.monotonic(), 0, Counter[str]()
    with stage():
        for seed in [chosen.seed] if chosen.seed is not None else range(chosen.seeds):
            run = simulate(seed)
            failed += bool(run.wrong)
            if run.wrong:
                print(f"{repeat(seed)}  # {run.wrong[0]}", flush=True)
            total += Counter(run.world.faults)
            total += Counter(upload.kind for upload in run.uploads) + Counter(malformed=run.strangers)
            total += Counter(answers=run.answers, letters=len(run.world.letters), moved=run.world.overtaken)
    if chosen.seed is None:
        record(
            "Events, simulated",
            f"python -m tests.faults.simulator --seeds {chosen.seeds}",
            _told_of(chosen.seeds, failed, total, time.monotonic() - started),
        )
    sys.exit(bool(failed))


def _told_of(seeds: int, failed: int, total: Counter[str], seconds: float) -> str:
    uploads = sum(total[kind] for kind in dict.fromkeys(KINDS))
    return f"""{seeds} seeds, {uploads} uploads or malformed messages, {seconds:.0f} s; **{failed} broke the law**.

| uploads | {" | ".join(dict.fromkeys(KINDS))} |
|---|{"---:|" * len(dict.fromkeys(KINDS))}
| | {" | ".join(str(total[kind]) for kind in dict.fromkeys(KINDS))} |

| faults | killed | throttled | answer lost | stalled | clock jumped | repeated |
|---|---:|---:|---:|---:|---:|---:|
| | {" | ".join(str(total[name]) for name in ("kill", "throttle", "lost", "stall", "jump", "repeat"))} |

{total["answers"]} answers were worked out; {total["letters"]} dead letters, {total["moved"]} of them moved by SQS
itself since their workers died, the others with a reason.
"""


if __name__ == "__main__":
    main()
