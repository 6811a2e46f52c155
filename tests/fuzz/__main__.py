"""`python -m tests.fuzz [TARGET …] [--runs N] [--record]`: run atheris on each target in a process of its own."""

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
"""Maximum seconds for one input, which normally takes a fraction of a second."""
MEGABYTES = 3000
"""Maximum memory of a process."""


class FuzzResult(NamedTuple):
    target: str
    runs: int
    seconds: float
    coverage: tuple[int, int]
    """Edges covered by the seeds and at the end."""
    corpus: tuple[int, int]
    crash: str
    """The traceback or log of a crash; empty without one."""


def prepare(folder: Path) -> None:
    """Make this process serve a store of tiny models, with our modules instrumented."""
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
    """Fuzz a target; call it in a child process, which ends with it."""
    from tests.fuzz.targets import CONTROL, TARGETS

    fuzz_target = (TARGETS | CONTROL)[target]
    corpus = folder / "corpus"
    corpus.mkdir(parents=True)
    for number, data in enumerate(fuzz_target.seeds()):
        (corpus / str(number)).write_bytes(data)

    def run_input(data: bytes) -> None:
        from hearth.errors import HearthError

        try:
            fuzz_target.run(data)
        except HearthError:
            pass
        except BaseException:
            (folder / "crash").write_text(f"{traceback.format_exc()}\n{data!r}")
            raise

    log, devnull = (os.open(path, os.O_WRONLY | os.O_CREAT) for path in (folder / "log", os.devnull))
    os.dup2(devnull, 1)
    os.dup2(log, 2)
    limits = (
        f"-max_len={fuzz_target.max_bytes} -timeout={SECONDS} -rss_limit_mb={MEGABYTES} -malloc_limit_mb={MEGABYTES}"
    )
    options = [
        f"-runs={runs}",
        f"-max_total_time={seconds}",
        f"-seed={SEED}",
        f"-artifact_prefix={folder}/",
        *limits.split(),
    ]
    atheris.Setup(["fuzz", str(corpus), *options], run_input)
    atheris.Fuzz()


def run(target: str, runs: int, seconds: int, folder: Path) -> FuzzResult:
    started = time.monotonic()
    process = os.fork()
    if not process:
        try:
            fuzz(target, runs, seconds, folder)
        finally:
            os._exit(70)
    _, status = os.waitpid(process, 0)
    log = (folder / "log").read_text(errors="replace")
    statuses = [tuple(map(int, line.groups()[1:])) for line in STATUS.finditer(log)] or [(0, 0, 0)]
    match = re.search(r"Done (\d+) runs", log)
    crash = "" if match and status == 0 else crash_of(log, folder)
    return FuzzResult(
        target,
        int(match[1]) if match else 0,
        time.monotonic() - started,
        (statuses[0][0], statuses[-1][0]),
        (statuses[0][2], statuses[-1][2]),
        crash,
    )


def crash_of(log: str, folder: Path) -> str:
    """How the process died, and the input that killed it."""
    if (folder / "crash").exists():
        return (folder / "crash").read_text()
    inputs = [path.read_bytes() for path in folder.iterdir() if path.name.startswith(("timeout-", "oom-", "crash-"))]
    return log[-1000:] + "".join(f"\n{data[:4000]!r}" for data in inputs)


HEAD = """| target | runs | seconds | edges of our modules | corpus | crashes |
| --- | ---: | ---: | ---: | ---: | --- |
"""


def row(result: FuzzResult) -> str:
    return (
        f"| {result.target} | {result.runs:,} | {result.seconds:.0f} | {result.coverage[0]} → {result.coverage[1]} | "
        f"{result.corpus[0]} → {result.corpus[1]} | {'one' if result.crash else 'none'} |"
    )


def record_rows(rows: Sequence[str], runs: int) -> None:
    """Write rows to docs/testing/results.md; rows of other targets stay."""
    from tests.fuzz.targets import TARGETS
    from tests.support.record import RESULTS, record

    recorded = RESULTS.read_text() if RESULTS.exists() else ""
    section = "".join(re.findall(r"(?ms)^## Fuzzing$.*?(?=^## |\Z)", recorded))
    lines = [*section.splitlines(), *rows]
    by_target = {match[1]: line for line in lines if (match := TARGET.match(line))}
    text = HEAD + "\n".join(by_target[target] for target in TARGETS if target in by_target)
    record("Fuzzing", f"python -m tests.fuzz --runs {runs} --record", text, seed=SEED)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="tests.fuzz")
    parser.add_argument("targets", nargs="*")
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--seconds", type=int, default=0, help="maximum per target; 0: no limit")
    parser.add_argument("--record", action="store_true", help="write the table to docs/testing/results.md")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder))
        from tests.fuzz.targets import TARGETS

        crashes = 0
        for target in options.targets or TARGETS:
            result = run(target, options.runs, options.seconds, Path(folder) / target)
            print(row(result), flush=True)
            if result.crash:
                print(result.crash, flush=True)
                crashes += 1
            elif options.record:
                record_rows([row(result)], options.runs)
    return bool(crashes)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
