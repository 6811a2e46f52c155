"""At least 20,000 hostile requests through the Lambda handler.

    python -m tests.hostile.requests --requests 20000

No exception may escape, except the one for a failed storage event without a queue, which makes Lambda retry the event.
No response may have a status of 500 or above, because store, models and machine work.
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
"""Number of requests by kind and outcome."""
SHARES: tuple[tuple[st.SearchStrategy[tuple[str, Any]], float], ...] = (
    (events.requests(), 0.55),
    (events.bodies(), 0.1),
    (events.envelopes(), 0.15),
    (events.stored(), 0.05),
    (events.others(), 0.05),
    (events.anything, 0.1),
)


@contextmanager
def serving() -> Iterator[Callable[[Any, Any], Any]]:
    """The handler of all functions over a store with a small model of every task, uploads and results in a local S3."""
    from hearth.aws_lambda.handler import create_handler
    from hearth_build.cli import serve

    environ = dict(os.environ)
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
            os.environ.update(environ)
            models.stop_serving()


def outcome_of(handler: Callable[[Any, Any], Any], event: Any) -> str:
    """Status or outcome of an event. Raises AssertionError for an outcome that is not allowed."""
    context = SimpleNamespace(aws_request_id="request", get_remaining_time_in_millis=lambda: 30_000)
    try:
        response = handler(event, context)
    except EventFailedError:
        return "retried by Lambda"
    assert isinstance(response, dict), response
    json.dumps(response)  # as the runtime does
    if "statusCode" in response:
        status = response["statusCode"]
        assert isinstance(status, int)
        assert 200 <= status < 500, response
        return str(status)
    assert response.get("error_type") not in ("internal", "manifest_error", "settings_error"), response
    return str(response.get("error_type", "answered"))


def send_requests(requests: int, seed_number: int) -> Counts:
    """Send `requests` events generated from the seed, and count the outcomes. Raises as `outcome_of`, with a minimal
    event."""
    counts: Counts = Counter()
    with serving() as handler, contextlib.redirect_stdout(io.StringIO()) as output:
        for strategy, share in SHARES:
            _send(handler, strategy, round(requests * share), seed_number, counts)
            output.truncate(0)
    return counts


def _send(
    handler: Callable[[Any, Any], Any],
    strategy: st.SearchStrategy[tuple[str, Any]],
    requests: int,
    seed_number: int,
    counts: Counts,
) -> None:
    @seed(seed_number)
    @settings(
        max_examples=requests,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def send(example: tuple[str, Any]) -> None:
        kind, event = example
        counts[kind, outcome_of(handler, event)] += 1

    send()


def table(counts: Counts) -> str:
    outcomes = sorted({outcome for _, outcome in counts})
    rows = ["| sent | " + " | ".join(outcomes) + " | all |", "|---" * (len(outcomes) + 2) + "|"]
    for kind in sorted({kind for kind, _ in counts}):
        row_counts = [counts[kind, outcome] for outcome in outcomes]
        rows.append(f"| {kind} | " + " | ".join(map(str, [*row_counts, sum(row_counts)])) + " |")
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    counts = send_requests(options.requests, options.seed)
    summary = f"{counts.total()} events; no exception escaped, and no response had a status of 500 or above.\n\n"
    record(
        "Hostile requests",
        f"python -m tests.hostile.requests --requests {options.requests}",
        summary + table(counts),
        seed=options.seed,
    )


if __name__ == "__main__":
    main()
