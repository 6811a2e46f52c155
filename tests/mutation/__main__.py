"""`python -m tests.mutation [NAME …] [--sample N] [--seed N] [--jobs N]`: mutate, test, print survivors and a table.

cosmic-ray (in an environment of its own) finds the mutants of the modules below storage, models, async_inference, auth,
http and protocols, or of the packages and modules that are named (`models`, `http/pipeline`). A seeded sample of them
is written into a copy of the checkout, one at a time, and the module's own test file is run, without its slow tests.
Annotations are left out: they are never evaluated.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple

from tests.architecture.modules import has_code, test_file
from tests.support import ROOT
from tests.tools import tool

PACKAGES = ("storage", "models", "async_inference", "auth", "http", "protocols")
RUNTIME = Path("layers/runtime/python/hearth")


class Mutant(NamedTuple):
    module: str
    """Path relative to the checkout."""
    operator: str
    occurrence: int
    line: int
    column: int


class Outcome(NamedTuple):
    mutant: Mutant
    is_caught: bool
    line: str
    """The mutated line."""


class Tester:
    """A copy of the checkout, and a process that runs test files in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        _copy_checkout(folder)
        environment = {**os.environ, "PYTHONPATH": str(folder / RUNTIME.parent), "PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, "-m", "tests.mutation.tester"]
        self._process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def passes(self, module: str) -> bool:
        """Whether the module's own tests pass."""
        assert self._process.stdin
        assert self._process.stdout
        print(test_file(Path(module)), file=self._process.stdin, flush=True)
        return self._process.stdout.readline() == "passed\n"

    def catches(self, mutant: Mutant, source: str) -> bool:
        path = self.folder / mutant.module
        original = path.read_bytes()
        path.write_text(source, encoding="utf-8")
        try:
            return not self.passes(mutant.module)
        finally:
            path.write_bytes(original)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


def modules(names: Sequence[str]) -> list[Path]:
    """The modules of packages, and single modules, by their names below `hearth`."""
    paths = []
    for name in names:
        package = ROOT / RUNTIME / name
        paths += sorted(package.rglob("*.py")) if package.is_dir() else [package.with_suffix(".py")]
    return [path.relative_to(ROOT) for path in paths if has_code(path)]


def mutants(chosen: Sequence[Path]) -> list[Mutant]:
    """All mutants of the modules, without those of annotations."""
    candidates = [Mutant(*row) for row in json.loads(_cosmic_ray("list", *map(str, chosen)))]
    spans = {str(module): list(_annotations(module)) for module in chosen}
    return [
        mutant
        for mutant in candidates
        if not any(start <= (mutant.line, mutant.column) < end for start, end in spans[mutant.module])
    ]


def _cosmic_ray(*arguments: str, specification: str = "") -> str:
    command = [tool("cosmic_ray") / "bin/python", ROOT / "tests/mutation/variants.py", *arguments]
    run = subprocess.run(command, cwd=ROOT, input=specification, stdout=subprocess.PIPE, text=True, check=True)
    return run.stdout


def _annotations(module: Path) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """Beginning and end of each annotation."""
    for node in ast.walk(ast.parse((ROOT / module).read_text(encoding="utf-8"))):
        for name in ("annotation", "returns"):
            if part := getattr(node, name, None):
                yield (part.lineno, part.col_offset), (part.end_lineno, part.end_col_offset)


def _copy_checkout(folder: Path) -> None:
    """Copy tracked and new files as they are now."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)


def table(outcomes: Sequence[Outcome]) -> str:
    total, caught = Counter[str](), Counter[str]()
    for outcome in outcomes:
        package = Path(outcome.mutant.module).relative_to(RUNTIME).parts[0]
        total[package] += 1
        caught[package] += outcome.is_caught
    rows = [f"| {name} | {total[name]} | {caught[name]} | {caught[name] / total[name]:.0%} |" for name in sorted(total)]
    whole = f"| together | {len(outcomes)} | {sum(caught.values())} | {sum(caught.values()) / len(outcomes):.1%} |"
    return "\n".join(["| package | mutants | caught | share |", "|---|---:|---:|---:|", *rows, whole])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=PACKAGES, help="such as models or http/pipeline")
    parser.add_argument("--sample", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    chosen = modules(arguments.names)
    if missing := [str(test_file(module)) for module in chosen if not (ROOT / test_file(module)).exists()]:
        parser.error(f"there is no {', '.join(missing)}")
    started = time.monotonic()
    candidates = mutants(chosen)
    sample = random.Random(arguments.seed).sample(candidates, min(arguments.sample, len(candidates)))
    sources = json.loads(_cosmic_ray("apply", specification=json.dumps(sample)))
    possible = [(mutant, source) for mutant, source in zip(sample, sources, strict=True) if source is not None]
    print(f"{len(candidates)} mutants; {len(possible)} of a sample of {len(sample)} can be made", flush=True)
    with tempfile.TemporaryDirectory(prefix="hearth-mutation-") as scratch:
        testers = [Tester(Path(scratch) / str(job)) for job in range(arguments.jobs)]
        free = SimpleQueue[Tester]()
        for tester in testers:
            free.put(tester)

        def attempt(work: tuple[Mutant, str]) -> Outcome:
            mutant, source = work
            tester = free.get()
            try:
                outcome = Outcome(mutant, tester.catches(mutant, source), source.splitlines()[mutant.line - 1].strip())
            finally:
                free.put(tester)
            if not outcome.is_caught:
                print(f"survived: {mutant.module}:{mutant.line} {mutant.operator}: {outcome.line}", flush=True)
            return outcome

        try:
            for module in sorted({mutant.module for mutant, _ in possible}):
                if not testers[0].passes(module):
                    parser.error(f"{test_file(Path(module))} fails without any mutation")
            with ThreadPoolExecutor(arguments.jobs) as pool:
                outcomes = list(pool.map(attempt, possible))
        finally:
            for tester in testers:
                tester.close()
    print(f"seed {arguments.seed}; {time.monotonic() - started:.0f} s\n\n{table(outcomes)}")


if __name__ == "__main__":
    main()
