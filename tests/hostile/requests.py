"""At least 20,000 hostile requests through the Lambda handler.

    python -m tests.hostile.requests --requests 20000

No exception may escape (but for the one that says a storage event without a queue has failed, which Lambda keeps
because of it), and none may be answered with a status from 500 on: the store, the models and the machine are sound.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from hearth.async_inference.storage_events import EventFailedError
from tests.hostile import events, models
from tests.support.record import record
from tests.support.s3 import CREDENTIALS, client, moto_s3

Counts = Counter[tuple[str, str]]
"""By what was sent and how it was answered."""
SHARES: tuple[tuple[st.SearchStrategy[tuple[str, Any]], float], ...] = (
    (events.requests(), 0.6),
    (events.bodies(), 0.1),
    (events.envelopes(), 0.15),
    (events.stored(), 0.05),
    (events.anything, 0.1),
)


@contextmanager
def serving() -> Iterator[Callable[[Any, Any], Any]]:
    """The handler of all functions over a store with a small model of every task, uploads and results in a local S3."""
    from hearth.aws_lambda.handler import create_handler
    from hearth_build.cli import serve

    before = dict(os.environ)
    with tempfile.TemporaryDirectory() as folder, moto_s3() as url:
        for bucket in ("uploads", "results"):
            client(url).create_bucket(Bucket=bucket)
        client(url).put_object(Bucket="uploads", Key=events.KEYS[0], Body=b"a good film")
        os.environ |= {**CREDENTIALS, "AWS_ENDPOINT_URL_S3": url}
        os.environ |= {"HEARTH_UPLOADS": "s3://uploads", "HEARTH_OUTPUT": "s3://results"}
        models.serve(models.make_store(Path(folder) / "store"), Path(folder) / "cache")
        try:
            yield create_handler(serve.tasks())
        finally:
            os.environ.clear()
            os.environ.update(before)
            models.forget()


def answered(handler: Callable[[Any, Any], Any], event: Any) -> str:
    """How it was answered, in a word. Raises AssertionError for what may not be."""
    context = SimpleNamespace(aws_request_id="request", get_remaining_time_in_millis=lambda: 30_000)
    try:
        answer = handler(event, context)
    except EventFailedError:
        return "kept by Lambda"
    assert isinstance(answer, dict), answer
    json.dumps(answer)  # what the runtime does with it
    if "statusCode" in answer:
        status = answer["statusCode"]
        assert isinstance(status, int)
        assert 200 <= status < 500, answer
        return str(status)
    assert answer.get("error_type") not in ("internal", "manifest_error", "settings_error"), answer
    return str(answer.get("error_type", "answered"))


def storm(requests: int, number: int) -> Counts:
    """Send so many, made from the seed `number`, and count the answers. Raises as `answered`, with the least event."""
    counts: Counts = Counter()
    with serving() as handler, contextlib.redirect_stdout(io.StringIO()) as printed:
        for strategy, share in SHARES:
            _send(handler, strategy, round(requests * share), number, counts)
            printed.truncate(0)
    return counts


def _send(
    handler: Callable[[Any, Any], Any],
    strategy: st.SearchStrategy[tuple[str, Any]],
    requests: int,
    number: int,
    counts: Counts,
) -> None:
    @seed(number)
    @settings(
        max_examples=requests,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def one(made: tuple[str, Any]) -> None:
        kind, event = made
        counts[kind, answered(handler, event)] += 1

    one()


def table(counts: Counts) -> str:
    answers = sorted({answer for _, answer in counts})
    rows = ["| sent | " + " | ".join(answers) + " | all |", "|---" * (len(answers) + 2) + "|"]
    for kind in sorted({kind for kind, _ in counts}):
        found = [counts[kind, answer] for answer in answers]
        rows.append(f"| {kind} | " + " | ".join(map(str, [*found, sum(found)])) + " |")
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    counts = storm(asked.requests, asked.seed)
    words = f"{counts.total()} events; no exception escaped, none was answered with a status from 500 on.\n\n"
    record(
        "Hostile requests",
        f"python -m tests.hostile.requests --requests {asked.requests}",
        words + table(counts),
        seed=asked.seed,
    )


if __name__ == "__main__":
    main()
