"""`python -m tests.fuzz [TARGET …] [--runs N] [--record]`: what atheris finds, each target in a process of its own."""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import atheris

STATUS = re.compile(r"(INITED|NEW|REDUCE|pulse|DONE)\s+cov: (\d+) ft: (\d+) corp: (\d+)/")
TARGET = re.compile(r"\| ([a-z][a-z-]+) \| [0-9]")
SEED = 20251125
SECONDS = 30
"""Of one input, at most; it takes part of a second."""
MEGABYTES = 3000
"""Of a process, at most."""


class Found(NamedTuple):
    target: str
    runs: int
    seconds: float
    coverage: tuple[int, int]
    """Of the seeds, and at the end."""
    corpus: tuple[int, int]
    crash: str
    """Empty: none."""


def prepare(folder: Path) -> None:
    """A process that serves a store of tiny models, with our modules watched."""
    os.environ |= {
        "HEARTH_STORE": f"file://{folder}/store",
        "HEARTH_CACHE_DIR": f"{folder}/cache",
        "HEARTH_ALIAS_SECONDS": "100000",
        "HEARTH_THREADS": "1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    with atheris.instrument_imports(include=["hearth", "functions"]):
        import tests.fuzz.targets  # noqa: F401
    from tests.support.artifacts import make_image_artifact, make_text_artifact

    make_text_artifact(folder / "store")
    make_image_artifact(folder / "store")


def fuzz(target: str, runs: int, seconds: int, folder: Path) -> None:
    """In a process of its own, which ends with it."""
    from tests.fuzz.targets import CONTROL, TARGETS

    chosen = (TARGETS | CONTROL)[target]
    corpus = folder / "corpus"
    corpus.mkdir(parents=True)
    for number, data in enumerate(chosen.seeds()):
        (corpus / str(number)).write_bytes(data)

    def once(data: bytes) -> None:
        from hearth.errors import HearthError

        try:
            chosen.run(data)
        except HearthError:
            pass
        except BaseException:
            (folder / "crash").write_text(f"{traceback.format_exc()}\n{data!r}")
            raise

    log, nothing = (os.open(path, os.O_WRONLY | os.O_CREAT) for path in (folder / "log", os.devnull))
    os.dup2(nothing, 1)
    os.dup2(log, 2)
    limits = f"-max_len={chosen.longest} -timeout={SECONDS} -rss_limit_mb={MEGABYTES} -malloc_limit_mb={MEGABYTES}"
    words = [
        f"-runs={runs}",
        f"-max_total_time={seconds}",
        f"-seed={SEED}",
        f"-artifact_prefix={folder}/",
        *limits.split(),
    ]
    atheris.Setup(["fuzz", str(corpus), *words], once)
    atheris.Fuzz()


def run(target: str, runs: int, seconds: int, folder: Path) -> Found:
    began = time.monotonic()
    process = os.fork()
    if not process:
        try:
            fuzz(target, runs, seconds, folder)
        finally:
            os._exit(70)
    _, status = os.waitpid(process, 0)
    log = (folder / "log").read_text(errors="replace")
    seen = [tuple(map(int, line.groups()[1:])) for line in STATUS.finditer(log)] or [(0, 0, 0)]
    done = re.search(r"Done (\d+) runs", log)
    crash = "" if done and status == 0 else crash_of(log, folder)
    return Found(
        target,
        int(done[1]) if done else 0,
        time.monotonic() - began,
        (seen[0][0], seen[-1][0]),
        (seen[0][2], seen[-1][2]),
        crash,
    )


def crash_of(log: str, folder: Path) -> str:
    """How the process died, and of which input."""
    if (folder / "crash").exists():
        return (folder / "crash").read_text()
    inputs = [path.read_bytes() for path in folder.iterdir() if path.name.startswith(("timeout-", "oom-", "crash-"))]
    return log[-1000:] + "".join(f"\n{data[:4000]!r}" for data in inputs)


HEAD = """| target | runs | seconds | edges of our modules | corpus | crashes |
| --- | ---: | ---: | ---: | ---: | --- |
"""


def row(one: Found) -> str:
    return (
        f"| {one.target} | {one.runs:,} | {one.seconds:.0f} | {one.coverage[0]} → {one.coverage[1]} | "
        f"{one.corpus[0]} → {one.corpus[1]} | {'one' if one.crash else 'none'} |"
    )


def keep(rows: Sequence[str], runs: int) -> None:
    """Write rows to docs/testing/results.md, beside those of other targets that are there."""
    from tests.fuzz.targets import TARGETS
    from tests.support.record import RESULTS, record

    before = RESULTS.read_text() if RESULTS.exists() else ""
    former = "".join(re.findall(r"(?ms)^## Fuzzing$.*?(?=^## |\Z)", before))
    lines = [*former.splitlines(), *rows]
    by_target = {found[1]: line for line in lines if (found := TARGET.match(line))}
    text = HEAD + "\n".join(by_target[target] for target in TARGETS if target in by_target)
    record("Fuzzing", f"python -m tests.fuzz --runs {runs} --record", text, seed=SEED)


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="tests.fuzz")
    parser.add_argument("targets", nargs="*")
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--seconds", type=int, default=0, help="of each target, at most; 0: until its runs are done")
    parser.add_argument("--record", action="store_true", help="write the table to docs/testing/results.md")
    asked = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as place:
        prepare(Path(place))
        from tests.fuzz.targets import TARGETS

        crashes = 0
        for target in asked.targets or TARGETS:
            found = run(target, asked.runs, asked.seconds, Path(place) / target)
            print(row(found), flush=True)
            if found.crash:
                print(found.crash, flush=True)
                crashes += 1
            elif asked.record:
                keep([row(found)], asked.runs)
    return bool(crashes)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
