"""The event path in a simulated world: the handler's real code with faults in all its services, seed by seed.

`python -m tests.faults.simulator --seeds 2000` writes a section of docs/testing/results.md; `--seed N` repeats one run.
The invariant: every upload ends in exactly one result per version or in a dead letter; an upload that cannot be handled
becomes a dead letter and does not stop others.
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

MINIMUM_EVENTS = 50
WORKERS = 3
BATCH = 10
MODELS = ("sentiment-en", "sentiment-zh")
DEAD_LETTER_QUEUE = "https://sqs.invalid/1/letters"
FAILURE_SUFFIX = uploads.failure_path("")
ARN = "arn:aws:sqs:us-east-1:1:uploads"
KINDS = ("fine",) * 12 + ("poison", "panic", "bug", "stranger", "malformed", "killer")
"""Kinds of uploads: valid; refused; a panic of the tokenizer; our bug; unknown model; not an event; kills its
worker."""
Handle = Callable[[list[Message]], Any]


class Request(msgspec.Struct):
    inputs: str
    parameters: dict[str, Any] = {}


class Panic(BaseException):
    """Simulates the panic of a tokenizer."""


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
    """The world of one seed and its uploads."""

    world: World
    versioned: bool
    uploads: list[Upload] = field(default_factory=list)
    malformed: int = 0
    """Number of messages that are not events."""
    predictions: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def is_faultless(self) -> bool:
        return self.world.rates == Rates()


def rates(seed: int) -> Rates:
    """Every fifth seed has no faults except bad uploads; the others have a random subset of the faults."""
    import random

    if seed % 5 == 0:
        return Rates()
    random_source = random.Random(f"rates {seed}")
    maximum_rates = {"kill": 0.05, "throttle": 0.1, "lost": 0.05, "stall": 0.03, "jump": 0.02, "repeat": 0.3}
    return Rates(
        **{name: random_source.choice((0.0, random_source.uniform(0, rate))) for name, rate in maximum_rates.items()}
    )


def simulate(seed: int, *, conditions: bool = True, spoil: Callable[[Handle], Handle] | None = None) -> Run:
    """Simulate one run to the end; `wrong` lists violations of the invariant. `spoil` makes a handler wrong on
    purpose."""
    run = Run(World(seed, rates(seed), conditions), versioned=seed % 4 != 3)
    tasks = [Task("text-classification", Request, Any, lambda _, request: _predict(run, request), {})]

    def handle(batch: list[Message]) -> Any:
        return storage_events.handle(tasks, {"Records": [_sqs_record(message) for message in batch]}, SimpleNamespace())

    with _patch_services(run.world):
        _run_world(run, spoil(handle) if spoil else handle)
    _check(run)
    return run


def _sqs_record(message: Message) -> dict[str, Any]:
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
    run.predictions += 1
    return Prediction([request.inputs, run.predictions], Usage())  # no two predictions are equal


def _run_world(run: Run, handle: Handle) -> None:
    """Let uploads arrive, workers take turns and time pass until nothing is left to do."""
    world = run.world
    rng, remaining = world.random, MINIMUM_EVENTS + world.random.randrange(30)
    workers: list[Worker] = []
    for _ in range(200_000):
        choice = rng.random()
        if remaining and choice < 0.15:
            remaining -= 1
            _upload(run)
        elif workers and choice < 0.8:
            worker = rng.choice(workers)
            if not worker.resume():
                workers.remove(worker)
                if worker.exception:
                    run.wrong.append(f"the handler raised {worker.exception!r}")
        elif len(workers) < WORKERS and (batch := world.receive(rng.randint(1, BATCH))):
            workers.append(Worker(world, batch, handle))
        elif not remaining and not workers and not world.queue:
            return
        else:
            world.now += 0 if workers else rng.expovariate(1 / 30)
    run.wrong.append(f"never came to rest: {len(world.queue)} messages left")


def _upload(run: Run) -> None:
    world, number = run.world, len(run.uploads)
    rng = world.random
    kind = rng.choice(KINDS)
    if kind == "killer" and run.is_faultless and any(upload.kind == kind for upload in run.uploads):
        kind = "fine"  # a single one must not affect others; several in one batch may
    if kind == "malformed":
        run.malformed += 1
        world.send_event(
            rng.choice(
                ("no JSON", "[" * 9999, "5", '{"source": "aws.s3", "detail-type": "Object Created"}', '"\\ud800"')
            )
        )
        return
    model = "none" if kind == "stranger" else rng.choice(MODELS)
    suffix = rng.randrange(12)
    has_upload_id = rng.random() < 0.5  # a key of POST /uploads, so that a client may request the result
    key = f"uploads/{model}/" + (f"u{suffix:032x}" if has_upload_id else f"{'a b+%20/../é'[suffix:]}.txt")
    body = f"{kind} needle-{number}"
    version = world.put(f"inbox/{key}", body.encode(), versioned=run.versioned)
    sequencer = f"{number:04X}"[: rng.randint(4, 8)].ljust(rng.randint(4, 8), "0")
    run.uploads.append(Upload(key, version.id, sequencer, kind, version.etag, body))
    make_event = rng.choice((eventbridge_event, notification))
    event = make_event("inbox", key, version.etag, len(body), sequencer, version.id)
    world.send_event(json.dumps(event if make_event is eventbridge_event else {"Records": [event]}))


def _check(run: Run) -> None:
    """Compare the stores and dead letters with the uploads."""
    dead = Counter[tuple[str, str]]()
    for body, reason in run.world.letters:
        if "needle" in body + json.dumps(dict(reason)):
            run.wrong.append("a dead letter quotes an object")
        dead.update((item.key, item.version or item.sequencer) for item in _objects(body))
    results = {
        path.removeprefix("outbox/results/"): [json.loads(version.data) for version in versions]
        for path, versions in run.world.objects.items()
        if path.startswith("outbox/") and not path.endswith(FAILURE_SUFFIX)
    }
    run.wrong += _check_failures(run, {key for key, _ in dead} | {name.partition(".json")[0] for name in results})
    expected: set[str] = set()
    for key in dict.fromkeys(upload.key for upload in run.uploads):
        key_uploads = [upload for upload in run.uploads if upload.key == key]
        expected |= {f"{key}.json", *(f"{key}.json@{upload.version}" for upload in key_uploads)}
        check_key = _check_versions if run.versioned else _check_latest
        run.wrong += [f"{fault}: {key}" for fault in check_key(key_uploads, results, dead)]
        sequencers = [result["input"]["sequencer"] for result in results.get(f"{key}.json", ())]
        if sequencers != sorted(set(sequencers)):
            run.wrong.append(f"an older result came after a newer one, or one came twice: {key}.json")
    run.wrong += [f"a result without an upload: {name}" for name in results if name not in expected]
    neighbours = [u for u in run.uploads if u.kind == "fine" and dead[(u.key, u.version or u.sequencer)]]
    if run.is_faultless and neighbours:
        run.wrong.append(f"a neighbour of what went wrong is a dead letter: {neighbours[0].key}")
    if run.malformed > sum(not _objects(body) for body, _ in run.world.letters):
        run.wrong.append("a message that is no event was lost")


def _check_failures(run: Run, ended: set[str]) -> Iterator[str]:
    """Check the failures that clients see instead of results; `ended` are the keys with a result or dead letter."""
    failures = {
        path.removeprefix("outbox/results/").removesuffix(FAILURE_SUFFIX): versions
        for path, versions in run.world.objects.items()
        if path.startswith("outbox/") and path.endswith(FAILURE_SUFFIX)
    }
    for key, versions in failures.items():
        if key not in ended or not uploads.is_upload_key(key):
            yield f"a failure is written for an upload that has not failed: {key}"
        if any(b"needle" in version.data for version in versions):
            yield f"a failure quotes an object: {key}"
    if run.world.rates.throttle or run.world.rates.lost:
        return  # on the last delivery, the dead letter is sent even if the failure could not be written
    for body, reason in run.world.letters:
        for item in _objects(body):
            if reason and uploads.is_upload_key(item.key) and item.key not in failures:
                yield f"nobody is told why there is no result: {item.key}"


def _check_versions(
    key_uploads: list[Upload], all_results: Mapping[str, list[Any]], dead: Mapping[tuple[str, str], int]
) -> Iterator[str]:
    newest: Any = None
    for upload in key_uploads:
        results = all_results.get(f"{upload.key}.json@{upload.version}", [])
        if len(results) > 1:
            yield f"{len(results)} results of version {upload.version}"
        if not results and not dead[(upload.key, upload.version)]:
            yield f"{upload.kind} upload {upload.version} was lost"
        if results and (upload.kind != "fine" or results[0]["output"][0] != upload.body):
            yield f"the result of {upload.kind} upload {upload.version} is of something else"
        if results and not dead[(upload.key, upload.version)]:
            newest = results[0]
    latest = all_results.get(f"{key_uploads[0].key}.json", [None])[-1]
    if newest and (not latest or latest["input"]["sequencer"] < newest["input"]["sequencer"]):
        yield "the newest result is not shown"
    if latest and latest != all_results.get(f"{key_uploads[0].key}.json@{latest['input'].get('version')}", [None])[0]:
        yield "what is shown is no version's result"


def _check_latest(
    key_uploads: list[Upload], results: Mapping[str, list[Any]], dead: Mapping[tuple[str, str], int]
) -> Iterator[str]:
    """Without versions, an overwritten upload may have no result; the last upload of each key has one."""
    last, latest = key_uploads[-1], results.get(f"{key_uploads[0].key}.json", [None])[-1]
    if not dead[(last.key, last.sequencer)] and not (latest and latest["input"]["sequencer"] == last.sequencer):
        yield f"the last upload, {last.kind}, was lost"
    for result in results.get(f"{last.key}.json", ()):
        upload = next(upload for upload in key_uploads if upload.sequencer == result["input"]["sequencer"])
        if upload.kind != "fine" or result["output"][0] != upload.body:
            yield "a result is of something else"


def _objects(body: str) -> list[Any]:
    try:
        return list(storage_events._created_objects(json.loads(body)))
    except Exception:
        return []


@contextmanager
def _patch_services(world: World) -> Iterator[None]:
    """Replace the handler's services by the world's."""
    with (
        patch("hearth.async_inference.storage_events.open_store", world.open),
        patch("hearth.async_inference.uploads.open_store", world.open),
        patch("hearth.async_inference.dead_letters.open_store", world.open),
        patch("hearth.aws.sqs.send_message", world.send_letter),
        patch("hearth.aws.sqs.delete_message", world.delete_message),
        patch("hearth.aws.sqs.change_visibility", world.change_visibility),
    ):
        yield


@contextmanager
def stage() -> Iterator[None]:
    """Configure this process to handle uploads without writing log lines."""
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
            "HEARTH_DEAD_LETTERS": DEAD_LETTER_QUEUE,
            "HEARTH_ALIAS_SECONDS": "3600",
        }
        with patch.dict(os.environ, variables):
            _clear_caches()
            log.logger().setLevel("CRITICAL")
            try:
                yield
            finally:
                log.logger().setLevel(level)
    _clear_caches()


def _clear_caches() -> None:
    settings.get.cache_clear()
    warm_cache.cache_clear()


def repeat(seed: int) -> str:
    return f"python -m tests.faults.simulator --seed {seed}"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=2000)
    parser.add_argument("--seed", type=int)
    options = parser.parse_args()
    started, failures, total = time.monotonic(), 0, Counter[str]()
    with stage():
        for seed in [options.seed] if options.seed is not None else range(options.seeds):
            run = simulate(seed)
            failures += bool(run.wrong)
            if run.wrong:
                print(f"{repeat(seed)}  # {run.wrong[0]}", flush=True)
            total += Counter(run.world.faults)
            total += Counter(upload.kind for upload in run.uploads) + Counter(malformed=run.malformed)
            total += Counter(predictions=run.predictions, letters=len(run.world.letters), moved=run.world.moved_by_sqs)
    if options.seed is None:
        record(
            "Events, simulated",
            f"python -m tests.faults.simulator --seeds {options.seeds}",
            _report(options.seeds, failures, total, time.monotonic() - started),
        )
    sys.exit(bool(failures))


def _report(seeds: int, failed: int, total: Counter[str], seconds: float) -> str:
    uploads = sum(total[kind] for kind in dict.fromkeys(KINDS))
    return f"""{seeds} seeds, {uploads} uploads or malformed messages, {seconds:.0f} s; **{failed} seeds failed**.

| uploads | {" | ".join(dict.fromkeys(KINDS))} |
|---|{"---:|" * len(dict.fromkeys(KINDS))}
| | {" | ".join(str(total[kind]) for kind in dict.fromkeys(KINDS))} |

| faults | killed | throttled | response lost | stalled | clock jumped | repeated |
|---|---:|---:|---:|---:|---:|---:|
| | {" | ".join(str(total[name]) for name in ("kill", "throttle", "lost", "stall", "jump", "repeat"))} |

{total["predictions"]} predictions; {total["letters"]} dead letters, {total["moved"]} of them moved by SQS
itself because their workers died, the others with a reason.
"""


if __name__ == "__main__":
    main()
