"""`python -m tests.hostile.bombs [--record]`: each file through its function's Lambda handler, in a process of its own
whose memory and time are measured."""

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
from tests.hostile.bombs.films import FILMS, plain
from tests.hostile.bombs.pictures import PICTURES, saved
from tests.hostile.bombs.sounds import SOUNDS, wav
from tests.hostile.bombs.texts import TEXTS
from tests.support.artifacts import make_image_artifact, make_text_artifact
from tests.support.record import record
from tests.support.requests import rest_event
from tests.support.sounds import make_sound_artifact

MEGABYTES = 700
"""Above what the process had before, at most."""
SECONDS = 40
"""Of one file, at most, on a busy machine."""
HEADROOM = 4 << 30
"""Bytes of addresses, should a file be a bomb after all."""
Files = dict[str, Callable[[], bytes]]


class Measured(NamedTuple):
    name: str
    size: int
    """Bytes of the file."""
    status: int
    """Of the answer; 0: the process died."""
    megabytes: float
    """Peak of the process above what it had before."""
    seconds: float
    words: str
    """Of a refusal."""

    @property
    def fine(self) -> bool:
        return 200 <= self.status < 500 and self.megabytes <= MEGABYTES and self.seconds <= SECONDS


class Context:
    """Of an invocation that has a minute left."""

    aws_request_id = "7f2c6f0e-6f4e-4f0e-9a51-0f0b8e1f6a11"

    def get_remaining_time_in_millis(self) -> int:
        return 60_000


def routes() -> dict[str, tuple[Any, str, Files]]:
    """Of each kind of file: the handler, the model and the files."""
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
    """This process serves, and has answered once: what is measured later is the files' own."""
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
    first = {
        "picture": saved("PNG"),
        "sound": wav(),
        "film": plain(),
        "text": b'{"inputs":"a"}',
    }
    for kind, (handler, model, _) in routes().items():
        answer = handler(event_of(model, first[kind]), Context())
        assert answer["statusCode"] == 200, answer


def event_of(model: str, data: bytes) -> dict[str, Any]:
    headers = {"content-type": "application/octet-stream"}
    if data[:2] == b"\x1f\x8b":
        headers["content-encoding"] = "gzip"
    return rest_event("POST", f"/models/{model}", data, headers)


def in_child(work: Callable[[], Any]) -> Any:
    """What `work` gives, as JSON; None where its process died."""
    reading, writing = os.pipe()
    process = os.fork()
    if not process:
        try:
            os.close(reading)
            os.write(writing, json.dumps(work()).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as answer:
        told = answer.read()
    os.waitpid(process, 0)
    return json.loads(told) if told else None


def status_kib(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field))


def measure(handler: Any, model: str, name: str, make: Callable[[], bytes], folder: Path) -> Measured:
    path = folder / "file"
    in_child(lambda: path.write_bytes(make()))  # whose own memory must not be counted
    data = path.read_bytes()

    def work() -> tuple[int, float, float, str]:
        event = event_of(model, data)
        resource.setrlimit(resource.RLIMIT_AS, (status_kib("VmSize:") * 1024 + HEADROOM,) * 2)
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 -- the log
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        before, began = status_kib("VmRSS:"), time.monotonic()
        answer = handler(event, Context())
        seconds = time.monotonic() - began
        said = json.loads(answer["body"])
        words = said.get("error", "") if isinstance(said, dict) else ""
        return answer["statusCode"], (status_kib("VmHWM:") - before) / 1024, seconds, words

    found = in_child(work) or (0, 0.0, 0.0, "its process died")
    return Measured(name, len(data), *found)


def table(found: Iterable[Measured]) -> str:
    rows = [
        f"| {one.name} | {one.size:,} | {one.status} | {one.megabytes:.0f} | {one.seconds:.2f} | {one.words} |"
        for one in found
    ]
    head = "| file | bytes | status | peak, MB | seconds | answer |"
    return "\n".join([head, "| --- | ---: | ---: | ---: | ---: | --- |", *rows])


def run(kinds: Sequence[str] = (), names: Sequence[str] = ()) -> list[Measured]:
    found = []
    with tempfile.TemporaryDirectory() as place:
        prepare(Path(place))
        for kind, (handler, model, files) in routes().items():
            if kinds and kind not in kinds:
                continue
            for name, make in files.items():
                if not names or name in names:
                    found.append(measure(handler, model, name, make, Path(place)))
                    print(table(found[-1:]).splitlines()[-1], flush=True)
    return found


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="tests.hostile.bombs")
    parser.add_argument("kinds", nargs="*", help="picture, sound, film, text")
    parser.add_argument("--only", action="append", default=[], help="a file's name; may be said again")
    parser.add_argument("--record", action="store_true", help="write the table to docs/testing/results.md")
    asked = parser.parse_args(words)
    found = run(asked.kinds, asked.only)
    wrong = [one for one in found if not one.fine]
    if asked.record:
        peak, slowest = max(one.megabytes for one in found), max(one.seconds for one in found)
        text = (
            f"{len(found)} files; {len(wrong)} answered otherwise than 200 or 4xx, or beyond {MEGABYTES} MB or "
            f"{SECONDS} s. Peak {peak:.0f} MB above what the process had before, slowest {slowest:.1f} s.\n\n"
            f"{table(found)}"
        )
        record("Hostile media", "python -m tests.hostile.bombs --record", text)
    print(f"{len(found)} files, {len(wrong)} of them not fine", *(one.name for one in wrong), sep="\n")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
