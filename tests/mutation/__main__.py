"""`python -m tests.mutation [NAME …] [--sample N] [--seed N] [--jobs N]`: mutate, test, print a table and survivors.

cosmic-ray (in an environment of its own) finds the mutants of the modules below storage, models, async_inference, auth,
http and protocols, or of the packages and modules that are named (`models`, `http/pipeline`). A seeded sample of them
is applied to a copy of the checkout, one at a time, and the module's own test file is run, without its slow tests.
Annotations are left out: they are never evaluated.
"""

from __future__ import annotations

import argparse
import ast
import os
import random
import shutil
import sqlite3
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

from rich.progress import Progress

from tests.architecture.modules import test_file
from tests.support import ROOT
from tests.tools import tool

PACKAGES = ("storage", "models", "async_inference", "auth", "http", "protocols")
RUNTIME = Path("layers/runtime/python/hearth")
PYTEST = ("-x", "-q", "-n", "0", "-m", "not slow", "-p", "no:cacheprovider", "--timeout", "60")
CONFIG = """[cosmic-ray]
module-path = "{module}"
timeout = 60.0
test-command = "true"
[cosmic-ray.distributor]
name = "local"
"""


class Mutant(NamedTuple):
    module: Path
    """Relative to the checkout."""
    operator: str
    occurrence: int
    line: int
    column: int


class Outcome(NamedTuple):
    mutant: Mutant
    is_caught: bool
    source: str
    """The mutated line."""


def modules(names: Sequence[str]) -> list[Path]:
    """The modules of packages, and single modules, by their names below `hearth`."""
    paths = []
    for name in names:
        package = ROOT / RUNTIME / name
        paths += sorted(package.rglob("*.py")) if package.is_dir() else [package.with_suffix(".py")]
    return [path.relative_to(ROOT) for path in paths if path.stat().st_size]


def mutants(module: Path, folder: Path) -> list[Mutant]:
    """All of a module, without those of annotations."""
    config, session = folder / "config.toml", folder / "session.sqlite"
    config.write_text(CONFIG.format(module=module))
    session.unlink(missing_ok=True)
    cosmic_ray = tool("cosmic_ray") / "bin/cosmic-ray"
    subprocess.run([cosmic_ray, "init", config, session], cwd=ROOT, check=True, capture_output=True)
    with sqlite3.connect(session) as database:
        rows = database.execute(
            "SELECT operator_name, occurrence, start_pos_row, start_pos_col FROM mutation_specs"
        ).fetchall()
    spans = list(annotations(ast.parse((ROOT / module).read_text(encoding="utf-8"))))
    candidates = [Mutant(module, *row) for row in rows]
    return [
        mutant for mutant in candidates if not any(start <= (mutant.line, mutant.column) < end for start, end in spans)
    ]


def annotations(tree: ast.Module) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """Beginning and end of each annotation."""
    for node in ast.walk(tree):
        for name in ("annotation", "returns"):
            if part := getattr(node, name, None):
                yield (part.lineno, part.col_offset), (part.end_lineno, part.end_col_offset)


def copy_checkout(folder: Path) -> None:
    """Tracked and new files as they are now."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)


def run_tests(folder: Path, module: Path) -> bool:
    """Whether they pass."""
    environment = {**os.environ, "PYTHONPATH": str(folder / RUNTIME.parent), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", *PYTEST, str(test_file(module))]
    try:
        run = subprocess.run(command, cwd=folder, env=environment, capture_output=True, timeout=180)
    except subprocess.TimeoutExpired:
        return False
    return run.returncode == 0


def attempt(mutant: Mutant, folder: Path) -> Outcome | None:
    """None where cosmic-ray cannot make the mutant, as in `except (A, B)`."""
    path = folder / mutant.module
    original = path.read_bytes()
    command = [tool("cosmic_ray") / "bin/cosmic-ray", "apply", mutant.module, mutant.operator, str(mutant.occurrence)]
    try:
        if subprocess.run(command, cwd=folder, capture_output=True).returncode or path.read_bytes() == original:
            return None
        source = path.read_text(encoding="utf-8").splitlines()[mutant.line - 1].strip()
        return Outcome(mutant, not run_tests(folder, mutant.module), source)
    finally:
        path.write_bytes(original)


def table(outcomes: Sequence[Outcome]) -> str:
    total, caught = Counter[str](), Counter[str]()
    for outcome in outcomes:
        package = outcome.mutant.module.relative_to(RUNTIME).parts[0]
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
    with tempfile.TemporaryDirectory(prefix="hearth-mutation-") as scratch:
        candidates = [mutant for module in chosen for mutant in mutants(module, Path(scratch))]
        picked = random.Random(arguments.seed).sample(candidates, min(arguments.sample, len(candidates)))
        folders = SimpleQueue[Path]()
        for job in range(arguments.jobs):
            copy_checkout(Path(scratch) / str(job))
            folders.put(Path(scratch) / str(job))
        for module in sorted({mutant.module for mutant in picked}):
            if not run_tests(Path(scratch) / "0", module):
                parser.error(f"{test_file(module)} fails without any mutation")

        def work(mutant: Mutant) -> Outcome | None:
            folder = folders.get()
            try:
                return attempt(mutant, folder)
            finally:
                folders.put(folder)

        outcomes = list[Outcome]()
        with ThreadPoolExecutor(arguments.jobs) as pool, Progress() as progress:
            task = progress.add_task("mutants", total=len(picked))
            for outcome in pool.map(work, picked):
                outcomes += [outcome] if outcome else []
                progress.advance(task)
    for mutant, is_caught, source in sorted(outcomes):
        if not is_caught:
            print(f"survived: {mutant.module}:{mutant.line} {mutant.operator} {mutant.occurrence}: {source}")
    print(f"{len(candidates)} mutants; {len(outcomes)} of a sample of {len(picked)} could be made", end="")
    print(f" (seed {arguments.seed}); {time.monotonic() - started:.0f} s\n\n{table(outcomes)}")


if __name__ == "__main__":
    main()
