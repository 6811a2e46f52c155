"""`python -m tests.hostile.bombs [--record]`: send each file to its function's Lambda handler in a process of its own,
and measure its memory and time."""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hearth import settings
from hearth.models.cache import warm_cache
from tests.functions.films import make_squares
from tests.hostile.bombs.films import FILMS, valid_film
from tests.hostile.bombs.pictures import PICTURES, encode
from tests.hostile.bombs.sounds import SOUNDS, wav
from tests.hostile.bombs.texts import TEXTS
from tests.support.artifacts import make_image_artifact, make_text_artifact
from tests.support.record import record
from tests.support.requests import rest_event
from tests.support.sounds import make_sound_artifact

MEGABYTES = 700
"""Maximum memory for a file, in addition to what the process used before."""
SECONDS = 40
"""Maximum time for a file on a busy machine."""
HEADROOM = 4 << 30
"""Bytes of address space that a process may add; protects the machine if a file is a bomb after all."""
Files = dict[str, Callable[[], bytes]]


class Measurement(NamedTuple):
    name: str
    size: int
    """Bytes of the file."""
    status: int
    """Status of the response; 0 if the process died."""
    megabytes: float
    """Peak memory in addition to what the process used before."""
    seconds: float
    error: str
    """Message of a refusal."""

    @property
    def is_acceptable(self) -> bool:
        return 200 <= self.status < 500 and self.megabytes <= MEGABYTES and self.seconds <= SECONDS


class Context:
    """Context of an invocation with a minute left."""

    aws_request_id = "7f2c6f0e-6f4e-4f0e-9a51-0f0b8e1f6a11"

    def get_remaining_time_in_millis(self) -> int:
        return 60_000


def targets() -> dict[str, tuple[Any, str, Files]]:
    """Handler, model and files, by kind of file."""
    from hearth_functions.image_classification import app as images
    from hearth_functions.object_tracking import app as tracks
    from hearth_functions.speech_recognition import app as speech
    from hearth_functions.text_classification import app as texts

    return {
        "picture": (images.handler, "resnet20-cifar10", PICTURES),
        "sound": (speech.handler, "tones", SOUNDS),
        "film": (tracks.handler, "squares", FILMS),
        "text": (texts.handler, "sentiment-en", TEXTS),
    }


def prepare(folder: Path) -> None:
    """Make this process serve, and send one valid file of each kind, so that later measurements count only the
    files."""
    from hearth.models.manifest import Limits

    make_image_artifact(folder / "store", limits=Limits())
    make_text_artifact(folder / "store")
    make_squares(folder / "store")
    make_sound_artifact(folder / "store", seconds=600)
    os.environ |= {
        "HEARTH_STORE": f"file://{folder}/store",
        "HEARTH_CACHE_DIR": f"{folder}/cache",
        "HEARTH_THREADS": "1",
    }
    settings.get.cache_clear()
    warm_cache.cache_clear()
    valid = {
        "picture": encode("PNG"),
        "sound": wav(),
        "film": valid_film(),
        "text": b'{"inputs":"a"}',
    }
    for kind, (handler, model, _) in targets().items():
        response = handler(request_event(model, valid[kind]), Context())
        assert response["statusCode"] == 200, response


def request_event(model: str, data: bytes) -> dict[str, Any]:
    headers = {"content-type": "application/octet-stream"}
    if data[:2] == b"\x1f\x8b":
        headers["content-encoding"] = "gzip"
    return rest_event("POST", f"/models/{model}", data, headers)


def run_in_child(work: Callable[[], Any]) -> Any:
    """Run `work` in a child process; return its result, passed as JSON, or None if the process died."""
    read_end, write_end = os.pipe()
    process = os.fork()
    if not process:
        try:
            os.close(read_end)
            os.write(write_end, json.dumps(work()).encode())
        finally:
            os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as pipe:
        output = pipe.read()
    os.waitpid(process, 0)
    return json.loads(output) if output else None


def proc_status_kib(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field))


def measure(handler: Any, model: str, name: str, make_data: Callable[[], bytes], folder: Path) -> Measurement:
    path = folder / "file"
    run_in_child(lambda: path.write_bytes(make_data()))  # in a child, so that its memory is not counted
    data = path.read_bytes()

    def work() -> tuple[int, float, float, str]:
        event = request_event(model, data)
        resource.setrlimit(resource.RLIMIT_AS, (proc_status_kib("VmSize:") * 1024 + HEADROOM,) * 2)
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 -- log lines
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        Path("/proc/self/clear_refs").write_text("5")  # reset the peak
        rss_before, started = proc_status_kib("VmRSS:"), time.monotonic()
        response = handler(event, Context())
        seconds = time.monotonic() - started
        body = json.loads(response["body"])
        error = body.get("error", "") if isinstance(body, dict) else ""
        return response["statusCode"], (proc_status_kib("VmHWM:") - rss_before) / 1024, seconds, error

    result = run_in_child(work) or (0, 0.0, 0.0, "its process died")
    return Measurement(name, len(data), *result)


def table(measurements: Iterable[Measurement]) -> str:
    rows = [
        f"| {row.name} | {row.size:,} | {row.status} | {row.megabytes:.0f} | {row.seconds:.2f} | {row.error} |"
        for row in measurements
    ]
    head = "| file | bytes | status | peak, MB | seconds | answer |"
    return "\n".join([head, "| --- | ---: | ---: | ---: | ---: | --- |", *rows])


def run(kinds: Sequence[str] = (), names: Sequence[str] = ()) -> list[Measurement]:
    measurements = []
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder))
        for kind, (handler, model, files) in targets().items():
            if kinds and kind not in kinds:
                continue
            for name, make_data in files.items():
                if not names or name in names:
                    measurements.append(measure(handler, model, name, make_data, Path(folder)))
                    print(table(measurements[-1:]).splitlines()[-1], flush=True)
    return measurements


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="tests.hostile.bombs")
    parser.add_argument("kinds", nargs="*", help="picture, sound, film, text")
    parser.add_argument("--only", action="append", default=[], help="a file's name; may be repeated")
    parser.add_argument("--record", action="store_true", help="write the table to docs/testing/results.md")
    options = parser.parse_args(arguments)
    measurements = run(options.kinds, options.only)
    failures = [measurement for measurement in measurements if not measurement.is_acceptable]
    if options.record:
        peak, slowest = max(row.megabytes for row in measurements), max(row.seconds for row in measurements)
        text = (
            f"{len(measurements)} files; {len(failures)} with a status other than 200 or 4xx, or above {MEGABYTES} MB "
            f"or {SECONDS} s. Peak {peak:.0f} MB above what the process used before, slowest {slowest:.1f} s.\n\n"
            f"{table(measurements)}"
        )
        record("Hostile media", "python -m tests.hostile.bombs --record", text)
    print(
        f"{len(measurements)} files, {len(failures)} failed", *(measurement.name for measurement in failures), sep="\n"
    )
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
