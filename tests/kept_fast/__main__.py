"""Measure and write a new baseline: `python -m tests.kept_fast [GROUP ...]`.

Groups: imports, zoo, cold, memory, counts; the last one needs valgrind on x86-64. Update the baseline only on purpose:
if a figure had to grow, and the commit says why, or if it shrank and must stay smaller.
"""

from __future__ import annotations

import argparse

from tests.kept_fast.baseline import GROUPS, load, save
from tests.kept_fast.compare import regressions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("groups", nargs="*", choices=[*GROUPS, []], help="all groups by default")
    baseline = load()
    for group in parser.parse_args().groups or GROUPS:
        figures = GROUPS[group]()
        print(f"{group}: {len(figures)} figures", *regressions(figures, baseline.get(group, {})), sep="\n  ")
        baseline[group] = dict(figures)
    save(baseline)


if __name__ == "__main__":
    main()
